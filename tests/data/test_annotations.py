from multibox.data.annotations import Problem, find_label_names, read_annotations

import numpy as np
import pytest
from PIL import Image

WIDTH, HEIGHT = 100, 80
SIZE = f'<size><width>{WIDTH}</width><height>{HEIGHT}</height></size>'
NAMES = ('cat', 'dog')
BOMB = ('<!DOCTYPE annotation [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>'
        '<annotation><object><name>&b;</name></object></annotation>')


def bndbox(xmin, ymin, xmax, ymax):
    return (f'<bndbox><xmin>{xmin}</xmin><ymin>{ymin}</ymin>'
            f'<xmax>{xmax}</xmax><ymax>{ymax}</ymax></bndbox>')


def voc_object(coordinates=(11, 21, 31, 41), name='cat', rest=''):
    return f'<object><name>{name}</name>{rest}{bndbox(*coordinates)}</object>'


GOOD = voc_object()


def write(folder, xml, example_id='a', image='a.jpg'):
    """Write one annotation and its image. ``xml`` is a whole annotation or the elements in it."""
    for name in ('Annotations', 'JPEGImages'):
        (folder / name).mkdir(exist_ok=True)
    if not xml.startswith('<!') and '<annotation>' not in xml:
        xml = f'<annotation>{xml}</annotation>'
    (folder / 'Annotations' / f'{example_id}.xml').write_text(xml)
    if image:
        Image.new('RGB', (WIDTH, HEIGHT)).save(folder / 'JPEGImages' / image)


def read_one(folder, xml, **kwargs):
    write(folder, xml, **kwargs)
    return read_annotations(folder, ['a'], NAMES)


@pytest.mark.parametrize('entry, reason', [
    pytest.param(voc_object((30, 20, 30, 40)), 'no area', id='zero width'),
    pytest.param(voc_object((30, 20, 40, 20)), 'no area', id='zero height'),
    pytest.param(voc_object((0, 20, 1, 40)), 'no area', id='zero width once clipped'),
    pytest.param(voc_object((40, 20, 30, 40)), 'inverted', id='inverted x'),
    pytest.param(voc_object((30, 40, 40, 20)), 'inverted', id='inverted y'),
    pytest.param(voc_object((-1, 20, 30, 40)), 'outside the image of 100 x 80', id='left of image'),
    pytest.param(voc_object((10, -1, 30, 40)), 'outside the image', id='above image'),
    pytest.param(voc_object((10, 20, 101, 40)), 'outside the image', id='right of image'),
    pytest.param(voc_object((10, 20, 30, 81)), 'outside the image', id='below image'),
    pytest.param(voc_object(('ten', 20, 30, 40)), 'not numbers', id='word'),
    pytest.param(voc_object(('', 20, 30, 40)), 'not numbers', id='empty'),
    pytest.param(voc_object(('nan', 20, 30, 40)), 'not finite', id='nan'),
    pytest.param(voc_object((10, 20, 'inf', 40)), 'not finite', id='inf'),
    pytest.param('<object><name>cat</name><bndbox><xmin>1</xmin></bndbox></object>', 'missing',
                 id='three corners missing'),
    pytest.param('<object><name>cat</name></object>', 'missing', id='no bndbox'),
    pytest.param(voc_object(name='cow'), "class 'cow' is not one of the 2", id='unknown class'),
    pytest.param(f'<object>{bndbox(1, 2, 3, 4)}</object>', 'class None', id='no class'),
])
def test_a_bad_object_is_left_out_and_listed(tmp_path, entry, reason):
    (example,), (problem,) = read_one(tmp_path, SIZE + GOOD + entry)
    assert len(example.bbox) == len(example.label) == len(example.difficult) == 1
    assert problem.file == tmp_path / 'Annotations' / 'a.xml'
    assert problem.number == 2
    assert reason in problem.reason


@pytest.mark.parametrize('xml, reason', [
    ('<annotation><object>', 'cannot be read'),
    ('<annotation></annotation', 'cannot be read'),
    ('<!-- empty -->', 'cannot be read'),
    (BOMB, 'EntitiesForbidden'),
    ('<!DOCTYPE h><html></html>', 'its root is <html>'),
], ids=['cut off', 'half a tag', 'no root', 'entity bomb', 'another format'])
def test_an_unusable_annotation_leaves_its_example_out_and_is_listed(tmp_path, xml, reason):
    examples, (problem,) = read_one(tmp_path, xml)
    assert not examples
    assert problem.file == tmp_path / 'Annotations' / 'a.xml'
    assert problem.number is None
    assert reason in problem.reason


@pytest.mark.parametrize('raw', [
    b'', b'\xff\xfe\x00', b'<?xml version="1.0" encoding="no-such"?><annotation/>',
    '<annotation><x>ü</x></annotation>'.encode('latin-1'),
], ids=['empty', 'garbage', 'unknown encoding', 'wrong encoding'])
def test_undecodable_bytes_are_a_problem_not_a_crash(tmp_path, raw):
    write(tmp_path, GOOD)
    (tmp_path / 'Annotations' / 'a.xml').write_bytes(raw)
    examples, (problem,) = read_annotations(tmp_path, ['a'], NAMES)
    assert not examples
    assert 'cannot be read' in problem.reason


def test_a_missing_annotation_is_listed_and_the_others_are_read(tmp_path):
    write(tmp_path, GOOD)
    (example,), (problem,) = read_annotations(tmp_path, ['gone', 'a'], NAMES)
    assert example.path.name == 'a.jpg'
    assert problem == Problem(tmp_path / 'Annotations' / 'gone.xml', None, None,
                              'annotation file is missing')


def test_a_missing_image_is_listed(tmp_path):
    examples, problems = read_one(tmp_path, SIZE + GOOD, image=None)
    assert not examples
    assert problems == [Problem(tmp_path / 'JPEGImages' / 'a.jpg', None, None,
                                'image file is missing')]


def test_an_unreadable_image_is_listed(tmp_path):
    write(tmp_path, GOOD, image=None)
    (tmp_path / 'JPEGImages' / 'a.jpg').write_bytes(b'not an image')
    examples, (problem,) = read_annotations(tmp_path, ['a'], NAMES)
    assert not examples
    assert problem.file.name == 'a.jpg'
    assert 'image cannot be read' in problem.reason


def test_several_problems_of_one_file_are_all_listed_with_their_numbers(tmp_path):
    bad = voc_object((30, 20, 30, 40))
    (example,), problems = read_one(tmp_path, SIZE + bad + GOOD + voc_object(name='cow') + bad)
    assert len(example.bbox) == 1
    assert [problem.number for problem in problems] == [1, 3, 4]


def test_a_problem_reads_as_one_line_with_the_coordinates_as_written(tmp_path):
    _, (problem,) = read_one(tmp_path, SIZE + voc_object(('40.50', ' 20\n', 30, 40)))
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
    (example,), problems = read_one(tmp_path, SIZE + voc_object(written))
    assert not problems
    np.testing.assert_array_equal(example.bbox, np.float32([bbox]))


def test_arrays_have_the_documented_types_and_order(tmp_path):
    (example,), _ = read_one(tmp_path, SIZE + voc_object(name='dog') + voc_object((1, 2, 3, 4)))
    assert example.path == tmp_path / 'JPEGImages' / 'a.jpg'
    assert (example.bbox.dtype, example.bbox.shape) == (np.float32, (2, 4))
    assert example.label.dtype == np.int32
    assert example.label.tolist() == [1, 0]
    assert example.difficult.dtype == bool


def test_an_image_without_objects_is_a_valid_example(tmp_path):
    (example,), problems = read_one(tmp_path, SIZE)
    assert not problems
    assert example.bbox.shape == (0, 4)
    assert example.label.shape == example.difficult.shape == (0,)


@pytest.mark.parametrize('mark, difficult', [
    ('', False), ('<difficult>0</difficult>', False), ('<difficult>1</difficult>', True),
    ('<difficult>\n 1 </difficult>', True),
], ids=['absent', '0', '1', 'spaces'])
def test_difficult_is_read_and_defaults_to_false(tmp_path, mark, difficult):
    (example,), _ = read_one(tmp_path, SIZE + voc_object(rest=mark))
    assert example.difficult.tolist() == [difficult]


def test_parts_of_an_object_are_not_objects(tmp_path):
    part = f'<part><name>dog</name>{bndbox(1, 2, 3, 4)}</part>'
    (example,), problems = read_one(tmp_path, SIZE + voc_object(rest=part))
    assert not problems
    assert example.label.tolist() == [0]
    assert example.bbox.tolist() == [[20, 10, 40, 30]]


@pytest.mark.parametrize('size', [
    '', '<size><width>0</width><height>0</height></size>', '<size><width>999</width></size>',
    '<size><width>4000</width><height>3000</height></size>',
    '<size><width>?</width><height>80</height></size>',
], ids=['missing', 'zero', 'half', 'too large', 'not a number'])
def test_the_image_itself_is_asked_for_its_size(tmp_path, size):
    (example,), (problem,) = read_one(tmp_path, size + voc_object((1, 1, WIDTH, HEIGHT))
                                      + voc_object((1, 1, WIDTH + 1, HEIGHT)))
    assert len(example.bbox) == 1
    assert 'outside the image of 100 x 80 pixels' in problem.reason


@pytest.mark.parametrize('suffix', ['.jpg', '.jpeg', '.png', '.JPG', '.PNG'])
def test_images_may_have_another_suffix(tmp_path, suffix):
    (example,), problems = read_one(tmp_path, SIZE + GOOD, image=f'a{suffix}')
    assert not problems
    assert example.path.is_file()


def test_examples_come_in_the_order_of_the_ids(tmp_path):
    ids = ['c', 'a', 'b']
    for example_id in ids:
        write(tmp_path, SIZE + GOOD, example_id, f'{example_id}.jpg')
    examples, _ = read_annotations(tmp_path, ids, NAMES)
    assert [example.path.stem for example in examples] == ids


def test_a_quick_reading_shows_no_progress_bar(tmp_path, capsys):
    read_one(tmp_path, SIZE + GOOD)
    assert capsys.readouterr() == ('', '')


def test_label_names_are_those_of_objects_sorted(tmp_path):
    part = f'<part><name>wing</name>{bndbox(1, 2, 3, 4)}</part>'
    write(tmp_path, voc_object(name='yak') + voc_object(name='ant', rest=part), 'a')
    write(tmp_path, voc_object(name=' ant\n') + '<object/>', 'b')
    write(tmp_path, '<annotation><object>', 'broken')
    assert find_label_names(tmp_path, ['a', 'b', 'broken', 'gone']) == ('ant', 'yak')
