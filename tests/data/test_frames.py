"""Boxes as they are written become boxes in the upright image."""
from multibox.data.annotations import Problem
from tests.support.annotated import GOOD, HEIGHT, SIZE, WIDTH, bndbox, read_one, voc_object

import numpy as np
import pytest


@pytest.mark.parametrize('entry, reason', [
    pytest.param(voc_object((30, 20, 30, 40)), 'no area', id='zero width'),
    pytest.param(voc_object((30, 20, 40, 20)), 'no area', id='zero height'),
    pytest.param(voc_object((0, 20, 1, 40)), 'nothing of the box', id='zero width once clipped'),
    pytest.param(voc_object((120, 20, 140, 40)), 'nothing of the box lies in the image of 100 x 80',
                 id='outside'),
    pytest.param(voc_object((0.1, 0.2, 0.5, 1)), 'fractions', id='fractions'),
    pytest.param(voc_object((40, 20, 30, 40)), 'inverted', id='inverted x'),
    pytest.param(voc_object((30, 40, 40, 20)), 'inverted', id='inverted y'),
    pytest.param(voc_object(('ten', 20, 30, 40)), 'not numbers', id='word'),
    pytest.param(voc_object(('', 20, 30, 40)), 'not numbers', id='empty'),
    pytest.param(voc_object(('nan', 20, 30, 40)), 'not finite', id='nan'),
    pytest.param(voc_object((10, 20, 'inf', 40)), 'not finite', id='inf'),
    pytest.param('<object><name>cat</name><bndbox><xmin>1</xmin></bndbox></object>', 'missing',
                 id='three corners missing'),
    pytest.param('<object><name>cat</name></object>', 'missing', id='no bndbox'),
])
def test_an_image_with_a_bad_object_is_left_out_and_listed(tmp_path, entry, reason):
    examples, (problem,), _ = read_one(tmp_path, SIZE + GOOD + entry)
    assert not examples
    assert problem.file == tmp_path / 'Annotations' / 'a.xml'
    assert problem.number == 2
    assert reason in problem.reason


def test_several_problems_of_one_file_are_all_listed_with_their_numbers(tmp_path):
    bad = voc_object((30, 20, 30, 40))
    nan = voc_object(('nan', 20, 30, 40))
    examples, problems, _ = read_one(tmp_path, SIZE + bad + GOOD + nan + bad)
    assert not examples
    assert [problem.number for problem in problems] == [1, 3, 4]


def test_a_problem_reads_as_one_line_with_the_coordinates_as_written(tmp_path):
    _, (problem,), _ = read_one(tmp_path, SIZE + voc_object(('40.50', ' 20\n', 30, 40)))
    file = tmp_path / 'Annotations' / 'a.xml'
    assert problem.coordinates == ('40.50', '20', '30', '40')
    assert str(problem) == (f'{file}, object 1, xmin=40.50 ymin=20 xmax=30 ymax=40: '
                            'box is inverted, its min is above its max')


def test_a_problem_of_a_whole_file_reads_as_one_line(tmp_path):
    assert str(Problem(tmp_path, None, None, 'is bad')) == f'{tmp_path}: is bad'


@pytest.mark.parametrize('written, bbox', [
    ((11, 21, 31, 41), (20, 10, 40, 30)),
    ((1, 1, WIDTH, HEIGHT), (0, 0, HEIGHT - 1, WIDTH - 1)),
    ((0, 0, WIDTH, HEIGHT), (0, 0, HEIGHT - 1, WIDTH - 1)),
    (('48.6', '1.5', '50.25', '3e1'), (0.5, 47.6, 29, 49.25)),
], ids=['as ChainerCV', 'full image from 1', 'full image from 0', 'fractions'])
def test_coordinates_lose_one_and_stay_within_the_image(tmp_path, written, bbox):
    (example,), problems, _ = read_one(tmp_path, SIZE + voc_object(written))
    assert not problems
    np.testing.assert_array_equal(example.bbox, np.float32([bbox]))


@pytest.mark.parametrize('written, bbox, noted', [
    ((0, 20, 31, 41), (19, 0, 40, 30), False), ((-1, 21, 31, 41), (20, 0, 40, 30), True),
    ((11, -5, 31, 41), (0, 10, 40, 30), True), ((11, 21, 101, 81), (20, 10, 80, 100), False),
    ((11, 21, 102, 41), (20, 10, 40, 100), True), ((11, 21, 31, 999), (20, 10, 80, 30), True),
    ((-1e14, -1e14, 1e14, 1e14), (0, 0, 80, 100), True),
], ids=['from 0', 'left', 'above', 'by a pixel', 'right', 'below', 'huge'])
def test_a_box_is_cut_at_the_edges_and_a_note_says_so(tmp_path, written, bbox, noted):
    (example,), problems, notes = read_one(tmp_path, SIZE + GOOD + voc_object(written))
    assert not problems
    np.testing.assert_array_equal(example.bbox[1], np.float32(bbox))
    assert ['a.xml, object 2' in note and 'cut at the edges' in note for note in notes
            ] == [True] * noted


@pytest.mark.parametrize('name, unnamed', [('<name>cow</name>', 'cow'), ('', '')],
                         ids=['unknown', 'none'])
def test_an_object_of_no_named_class_is_ignored(tmp_path, name, unnamed):
    entry = f'<object>{name}{bndbox(2, 3, 12, 13)}</object>'
    (example,), problems, _ = read_one(tmp_path, SIZE + GOOD + entry)
    assert not problems
    assert (len(example.bbox), example.ignored.tolist()) == (1, [[2, 1, 12, 11]])


@pytest.mark.parametrize('size', [
    '', '<size><width>0</width><height>0</height></size>', '<size><width>999</width></size>',
    '<size><width>?</width><height>80</height></size>',
    '<size><width>nan</width><height>80</height></size>',
    '<size><width>-100</width><height>-80</height></size>',
], ids=['missing', 'zero', 'half', 'not a number', 'nan', 'negative'])
def test_the_image_itself_is_asked_for_its_size(tmp_path, size):
    (example,), problems, notes = read_one(
        tmp_path, size + voc_object((1, 1, WIDTH, HEIGHT)) + voc_object((1, 1, WIDTH + 9, HEIGHT)))
    assert not problems
    assert example.size == (HEIGHT, WIDTH)
    assert [box[3] for box in example.bbox.tolist()] == [WIDTH - 1, WIDTH]
    assert 'outside of 100 x 80 pixels' in notes[0]


@pytest.mark.parametrize('width, height, scale', [
    (200, 160, 1 / 2), (50, 40, 2), (33, 27, 3), (34, 27, 3), (4000, 3200, 1 / 40),
], ids=['twice', 'half', 'a third', 'a third, one side rounded up', '40 times'])
def test_a_size_of_the_same_aspect_scales_the_boxes_with_a_note(tmp_path, width, height, scale):
    size = f'<size><width>{width}</width><height>{height}</height></size>'
    written = np.array([11, 21, 31, 36]) / scale
    (example,), problems, (note,) = read_one(tmp_path, size + voc_object(written))
    assert not problems
    np.testing.assert_allclose(example.bbox, [[21, 11, 36, 31]], atol=scale + 1)
    assert f'size {width} x {height}' in note and 'scaled' in note


@pytest.mark.parametrize('width, height', [(80, 100), (150, 80), (4000, 3000)],
                         ids=['swapped', 'wider', 'another aspect'])
def test_a_size_of_another_aspect_is_a_problem(tmp_path, width, height):
    size = f'<size><width>{width}</width><height>{height}</height></size>'
    examples, (problem,), _ = read_one(tmp_path, size + GOOD)
    assert not examples
    assert problem.file.name == 'a.jpg'
    assert f'size {width} x {height}, but the image has 100 x 80' in problem.reason
