"""The picture of detections beside the ground truth, pixel by pixel."""
import multibox.report.drawing
from multibox import drawing
from multibox.report.drawing import GAP, HEIGHT, draw_detections

import numpy as np
import pytest
from PIL import Image

BOX = np.array([[100, 100, 300, 300]], np.float32)  # images of HEIGHT x HEIGHT are not scaled
NAMES = [f'class {n}' for n in range(30)]


def draw(path, *objects, size=(HEIGHT, HEIGHT), min_score=0.5):
    """Draw black images with objects given as (bbox, label, score). Returns (H, W, 3) uint8."""
    bboxes, labels, scores = ([np.array(values) for values in part] for part in zip(*objects))
    images = [np.zeros((3, *size), np.float32)] * len(objects)
    draw_detections(
        path, images, (bboxes, labels, scores), (bboxes, labels), NAMES, min_score)
    return np.array(Image.open(path))


def tile(picture, row, column, width=HEIGHT):
    y, x = row * (HEIGHT + 3 * GAP) + 2 * GAP, GAP + column * (width + GAP)
    return picture[y:y + HEIGHT, x:x + width]


def test_box_is_drawn_where_it_is(tmp_path):
    left = tile(draw(tmp_path / 'x.png', (BOX, [0], [0.9])), 0, 0)
    blue = left[299, 200]
    assert blue.any()
    for y, x in [(200, 100), (200, 300), (300, 200), (100, 299)]:
        np.testing.assert_array_equal(left[y, x], blue)
    assert not left[200, 200].any() and not left[310, 200].any()


def test_boxes_are_scaled_with_the_image(tmp_path):
    size = HEIGHT // 2, HEIGHT // 2
    left = tile(draw(tmp_path / 'x.png', (BOX / 2, [0], [0.9]), size=size), 0, 0)
    assert left[300, 200].any() and left[200, 300].any() and not left[200, 200].any()


@pytest.mark.parametrize('min_score, drawn', [(0.5, True), (0.6, False)])
def test_only_detections_from_the_least_score_are_drawn(tmp_path, min_score, drawn):
    picture = draw(tmp_path / 'x.png', (BOX, [0], [0.5]), min_score=min_score)
    assert tile(picture, 0, 0).any()
    assert tile(picture, 0, 1).any() == drawn


def test_of_very_many_detections_the_surest_are_drawn_and_the_picture_says_so(
        tmp_path, monkeypatch):
    drawn, titles = [], []
    monkeypatch.setattr(
        multibox.report.drawing, 'draw_boxes', lambda img, bbox, label, names, height: (
            drawn.append(names), Image.new('RGB', (HEIGHT, HEIGHT)))[1])
    monkeypatch.setattr(drawing.ImageDraw.ImageDraw, 'text',
                        lambda image, xy, text, *_, **__: titles.append(text))
    scores = np.random.RandomState(0).permutation(8732) / 8732
    draw(tmp_path / 'x.png', (np.repeat(BOX, 8732, axis=0), np.zeros(8732, int), scores))
    assert drawn[1] == [f'class 0 {n / 8732:.2f}' for n in range(8731, 8631, -1)]
    assert titles == ['ground truth', 'detected, score from 0.5, the 100 surest of 4,366']


def test_class_has_one_colour_in_every_image(tmp_path):
    both = np.concatenate([BOX, BOX - 50])
    picture = draw(tmp_path / 'x.png', (both, [3, 7], [0.9, 0.9]), (BOX, [3], [0.9]))
    first, second = tile(picture, 0, 0), tile(picture, 1, 0)
    np.testing.assert_array_equal(first[300, 200], second[300, 200])
    assert (first[250, 150] != second[300, 200]).any()


def test_labels_of_equal_boxes_are_both_readable(tmp_path):
    eight = np.repeat(BOX, 8, axis=0)
    left = tile(draw(tmp_path / 'x.png', (eight, np.arange(8), np.full(8, 0.9))), 0, 0)
    for color in np.round(drawing.PALETTE[:8]):
        assert (left == color).all(axis=2).sum() > 400  # a label is 18 pixels high


@pytest.mark.parametrize('size, expected', [(500, 18), (1400, 18), (4000, 72)])
def test_labels_grow_with_the_image(size, expected):
    img = np.zeros((3, size, size), np.float32)
    picture = np.array(drawing.draw_boxes(img, BOX, np.array([0]), ['']))
    label = (picture[:100, 101] == np.round(drawing.PALETTE[0])).all(axis=1)
    assert expected - 4 * expected / 18 <= label.sum() <= expected
    picture = np.array(drawing.draw_boxes(img, BOX, np.array([0]), ['W']))
    letter = np.flatnonzero((picture[:98, 100:180] > 190).all(axis=2).any(axis=1))
    assert .4 * expected < letter[-1] - letter[0] < .7 * expected


@pytest.mark.parametrize('color', drawing.PALETTE)
def test_the_text_of_every_label_stands_out(color):
    def luminance(color):  # the formula of WCAG 2
        share = np.array(color) / 255
        return np.where(share <= .03928, share / 12.92, ((share + .055) / 1.055) ** 2.4) @ (
            .2126, .7152, .0722)

    text = {'white': (255,) * 3, 'black': (0,) * 3}[drawing.text_color(color)]
    low, high = sorted(map(luminance, (text, color)))
    assert (high + .05) / (low + .05) >= 4.5  # the contrast that WCAG requires


def test_label_stays_inside_the_image():
    for box in [(0, 0, 10, 10), (390, 390, 400, 400), (-5, -5, 405, 405)]:
        places = drawing._label_places(box, (18, 100), (400, 400))
        assert places.min() >= 0 and places.max() <= 400


def test_image_without_objects_is_drawn_alone(tmp_path):
    empty = np.zeros((0, 4), np.float32), np.zeros(0, np.int32), np.zeros(0, np.float32)
    assert not tile(draw(tmp_path / 'x.png', empty), 0, 0).any()


@pytest.mark.parametrize('n_image, n_row, n_column', [(1, 1, 2), (2, 2, 2), (3, 2, 4), (8, 4, 4)])
def test_pairs_fill_rows(tmp_path, n_image, n_row, n_column):
    picture = draw(tmp_path / 'x.png', *[(BOX, [25], [0.9])] * n_image, size=(40, 60))
    height, width, _ = picture.shape
    assert height == n_row * (HEIGHT + 3 * GAP)
    assert width == GAP + n_column * (HEIGHT * 3 // 2 + GAP)


def test_values_beyond_white_do_not_wrap_around(tmp_path):
    empty = np.zeros((0, 4), np.float32), np.zeros(0, np.int32)
    white = np.full((3, 20, 20), 300, np.float32)
    draw_detections(tmp_path / 'x.png', [white], ([empty[0]], [empty[1]], [np.zeros(0)]),
                            ([empty[0]], [empty[1]]), NAMES)
    assert tile(np.array(Image.open(tmp_path / 'x.png')), 0, 0).min() == 255


def test_boxes_that_are_not_finite_or_far_away_are_drawn_at_the_edges():
    bbox = np.array([[np.nan, 0, np.inf, 30], [-1e30, -1e30, 1e30, 1e30]], np.float32)
    picture = drawing.draw_boxes(np.zeros((3, 40, 50), 'f'), bbox, np.array([0, 1]), ['a', 'b'])
    assert picture.size == (50, 40)
