"""The augmentation makes the same random draws, boxes and pixels as ChainerCV's."""
import random

from multibox.data import augment, rendering, seed_all
from multibox.data.augmentation import Plan, fill_margins
from multibox.data.rendering import render

import cv2
import numpy as np
import pytest
from chainercv import transforms
from chainercv.links.model.ssd import (
    random_crop_with_bbox_constraints,
    random_distort,
    resize_with_random_interpolation,
)
from hypothesis import example, given, settings
from hypothesis import strategies as st

MEAN = np.array((123, 117, 104), 'f')[:, None, None]


def chainercv_augment(img, bbox, label, size):
    img = random_distort(img)
    if np.random.randint(2):
        img, at = transforms.random_expand(img, fill=MEAN, return_param=True)
        bbox = transforms.translate_bbox(bbox, at['y_offset'], at['x_offset'])
    img, at = random_crop_with_bbox_constraints(img, bbox, return_param=True)
    bbox, kept = transforms.crop_bbox(bbox, at['y_slice'], at['x_slice'],
                                      allow_outside_center=False, return_param=True)
    bbox = transforms.resize_bbox(bbox, img.shape[1:], (size, size))
    img = resize_with_random_interpolation(img, (size, size))
    img, flip = transforms.random_flip(img, x_random=True, return_param=True)
    bbox = transforms.flip_bbox(bbox, (size, size), x_flip=flip['x_flip'])
    return img, bbox, label[kept['index']]


def photograph(rng, height, width):
    """Smooth colours with noise and saturated patches: (3, height, width) uint8.

    The array is a view of a contiguous (height, width, 3) array.
    """
    small = rng.randint(0, 256, (3 + height // 40, 3 + width // 40, 3)).astype(np.uint8)
    img = cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC)
    return cv2.add(img, rng.randint(0, 30, img.shape).astype(np.uint8)).transpose(2, 0, 1)


def objects(rng, height, width, n, whole):
    """Up to n random boxes, in whole pixels if asked. At times one covers the whole image."""
    ends = np.sort(rng.uniform(0, 1, (n, 2, 2)), axis=1) * (height, width)
    bbox = np.round(ends) if whole else ends
    bbox = bbox.reshape(n, 4).astype('f')
    if n and rng.randint(2):
        bbox[0] = 0, 0, height, width
    return bbox[(bbox[:, :2] < bbox[:, 2:]).all(axis=1)]


def random_state():
    return random.getstate(), [str(part) for part in np.random.get_state()]


@example(5, 11, 3, True, 50, 1100436)  # the IoU of a crop is a limit, up to rounding
@settings(deadline=None, max_examples=150)
@given(st.integers(3, 220), st.integers(3, 220), st.integers(0, 6), st.booleans(),
       st.sampled_from([50, 96]), st.integers(0, 2 ** 31))
def test_draws_boxes_and_pixels_are_chainercvs(height, width, n, whole, size, seed):
    rng = np.random.RandomState(seed)
    img, bbox = photograph(rng, height, width), objects(rng, height, width, n, whole)
    label = np.arange(len(bbox), dtype='i')
    seed_all(seed)
    try:
        expected = chainercv_augment(img.astype('f'), bbox, label, size)
    except (cv2.error, ZeroDivisionError):  # ChainerCV's crop has no pixel
        return
    after = random_state()
    seed_all(seed)
    ours = augment(img, bbox, label, size, MEAN)
    assert random_state() == after
    np.testing.assert_array_equal(ours[2], expected[2])
    np.testing.assert_allclose(ours[1], expected[1], rtol=0, atol=1e-4)
    np.testing.assert_allclose(ours[0], expected[0], rtol=0, atol=0.01)
    assert [part.dtype for part in ours] == [np.float32, np.float32, np.int32]


@pytest.mark.parametrize('height, width', [(1, 1), (1, 300), (2, 3), (300, 1)])
def test_an_image_of_next_to_no_pixels_is_augmented_too(height, width):
    img, bbox = np.full((3, height, width), 50, np.uint8), np.array([[0, 0, height, width]], 'f')
    for seed in range(50):
        seed_all(seed)
        ours = augment(img, bbox, np.zeros(1, 'i'), 20, MEAN)[0]
        assert ours.shape == (3, 20, 20) and np.isfinite(ours).all()


def test_float_and_uint8_images_of_any_layout_give_the_same():
    rng = np.random.RandomState(0)
    img, bbox = photograph(rng, 70, 90), np.array([[5, 10, 40, 50]], 'f')
    results = []
    for variant in (img, img.astype('f') + np.float32(.4), np.ascontiguousarray(img)):
        seed_all(11)
        results.append(augment(variant, bbox, np.zeros(1, 'i'), 50, MEAN)[0])
    np.testing.assert_array_equal(results[0], results[1])
    np.testing.assert_array_equal(results[0], results[2])


def test_the_photograph_stays_as_it_is():
    img = photograph(np.random.RandomState(0), 70, 90)
    before, bbox = img.copy(), np.array([[5, 10, 40, 50]], 'f')
    for seed in range(20):
        seed_all(seed)
        augment(img, bbox, np.zeros(1, 'i'), 50, MEAN)
    np.testing.assert_array_equal(img, before)
    assert bbox.tolist() == [[5, 10, 40, 50]]


def test_a_crop_beside_the_photograph_is_the_fill():
    img = np.zeros((3, 40, 50), np.uint8)
    for crop in ((-30, 5, -2, 45), (5, 50, 30, 80), (-60, -60, 0, 0), (40, 0, 90, 20)):
        ours = render(img, Plan([(1, np.arange(256, dtype=np.uint8))], crop, cv2.INTER_AREA, True),
                      30, MEAN)
        np.testing.assert_array_equal(ours, np.broadcast_to(MEAN, (3, 30, 30)))


@pytest.mark.parametrize('interpolation', range(5))
def test_the_fill_around_the_photograph_equals_that_of_a_whole_canvas(interpolation):
    """The expected image is a canvas far larger than the photograph, resized by OpenCV."""
    rng = np.random.RandomState(interpolation)
    img = photograph(rng, 60, 80)
    for crop, size in (((0, 0, 240, 320), 96), ((-100, -7, 131, 313), 96), ((10, -3, 70, 400), 96),
                       ((-50, -200, 61, 90), 96), ((-190, -280, 480, 590), 20)):
        top, left, bottom, right = crop
        canvas = np.broadcast_to(MEAN.ravel(), (700, 900, 3)).copy()
        canvas[200:260, 300:380] = img.transpose(1, 2, 0)
        canvas = canvas[200 + top:200 + bottom, 300 + left:300 + right]
        expected = cv2.resize(canvas, (size, size), interpolation=interpolation).transpose(2, 0, 1)
        ours = render(img, Plan([], crop, interpolation, False), size, MEAN)
        np.testing.assert_allclose(ours, expected, rtol=0, atol=0.01)


def test_an_image_does_not_depend_on_the_images_before():
    """They share a canvas, which has another colour or is too small at times."""
    rng, fills = np.random.RandomState(0), (MEAN, MEAN + 1)
    plans = [Plan([], crop, cv2.INTER_CUBIC, flip) for crop, flip in (
        ((-50, -20, 90, 110), False), ((5, -200, 60, 300), True), ((-900, -900, 900, 900), False))]
    img, other = photograph(rng, 60, 80), photograph(rng, 80, 60)

    def images(order):
        rendering._canvases.clear()
        return {(n, m): render(img, plans[n], 60, fills[m]) for n, m in order
                if render(other, plans[n], 50, fills[m]).any()}

    order = [(n, m) for n in range(3) for m in range(2)]
    alone = {key: images([key])[key] for key in order}
    for several in (order, order[::-1], order[1::2] + order[::2]):
        for key, result in images(several).items():
            np.testing.assert_array_equal(result, alone[key])


def kinds_of_filling(crop, flip):
    """What 40 seeds put around a white photograph of 100 x 100 pixels; its pixels have to stay."""
    kinds = set()
    for seed in range(40):
        seed_all(seed)
        img = render(np.full((3, 100, 100), 255, np.uint8), Plan([], crop, cv2.INTER_NEAREST, flip),
                     200, MEAN)
        photograph_is, before = (img == 255).all(axis=0), img.copy()
        fill_margins(img, Plan([], crop, cv2.INTER_NEAREST, flip), 100, 100)
        np.testing.assert_array_equal(img[:, photograph_is], before[:, photograph_is])
        beyond = img[:, ~photograph_is]
        kinds.add('mean' if (beyond == MEAN[:, 0]).all() else 'black' if not beyond.any() else
                  'colour' if (beyond == beyond[:, :1]).all() else 'noise')
    return kinds


@pytest.mark.parametrize('flip', [False, True])
def test_the_surroundings_get_each_filling_and_the_photograph_stays(flip):
    assert kinds_of_filling((-100, -80, 100, 120), flip) == {'mean', 'black', 'colour', 'noise'}


def test_a_crop_within_the_photograph_stays():
    img = np.random.default_rng(0).uniform(0, 255, (3, 50, 50)).astype('f')
    for seed in range(10):
        seed_all(seed)
        filled = img.copy()
        fill_margins(filled, Plan([], (10, 10, 60, 60), cv2.INTER_NEAREST, False), 100, 100)
        np.testing.assert_array_equal(filled, img)
