"""The augmentation of an image with its boxes, and the targets of the loss."""
import random

from multibox.boxes.coder import IGNORED
from multibox.data import MakeTargets, augment, load_data, seed_all
from multibox.networks import make_detector
from tests.support import cases

import cv2
import numpy as np

MEAN = np.array((123, 117, 104), 'f')[:, None, None]
IMG = np.random.RandomState(0).uniform(0, 255, (3, 60, 80)).astype('f')
BBOX = np.array([[5, 10, 40, 50], [20, 30, 55, 75]], 'f')
LABEL = np.arange(2, dtype='i')


def test_augmented_boxes_stay_inside_and_keep_their_labels():
    rng = np.random.RandomState(0)
    n_kept = 0
    for t in range(50):
        seed_all(t)
        img = rng.uniform(0, 255, (3, 70, 90)).astype('f')
        bbox = np.array([[5, 10, 40, 50], [20, 30, 60, 85]], 'f')
        img, bbox, label = augment(img, bbox, np.array([4, 9], 'i'), 100, MEAN)
        assert img.shape == (3, 100, 100) and img.dtype == np.float32
        assert (bbox[:, :2] < bbox[:, 2:]).all() and (bbox >= 0).all() and (bbox <= 100).all()
        assert len(label) == len(bbox) and set(label) <= {4, 9}
        n_kept += len(bbox)
    assert n_kept > 50


def test_a_box_follows_its_object_through_the_augmentation():
    """The object is a white rectangle on black. Its box must still surround the white pixels."""
    n_checked = 0
    for t in range(60):
        seed_all(t)
        img = np.zeros((3, 80, 100), 'f')
        img[:, 20:60, 30:80] = 255
        img, bbox, _ = augment(img, np.array([[20, 30, 60, 80]], 'f'), np.zeros(1, 'i'), 300,
                               np.zeros((3, 1, 1), 'f'))
        if len(bbox):
            y, x = np.nonzero(img.mean(axis=0) > 60)
            white = y.min(), x.min(), y.max() + 1, x.max() + 1
            np.testing.assert_allclose(bbox[0], white, atol=12)
            n_checked += 1
    assert n_checked > 30


def test_the_mean_is_subtracted_from_the_augmented_image():
    model = make_detector('slim300', 2)
    make = MakeTargets(model.coder, model.insize, model.mean)
    seed_all(3)
    img, mb_loc, mb_label = make(IMG, BBOX, LABEL)
    seed_all(3)
    augmented, bbox, label = augment(IMG, BBOX, LABEL, model.insize, model.mean)
    np.testing.assert_array_equal(img, augmented - model.mean)
    for target, expected in zip((mb_loc, mb_label), model.coder.encode(bbox, label)):
        np.testing.assert_array_equal(target, expected)


def test_an_example_is_written_into_given_arrays():
    model = make_detector('slim300', 2)
    make = MakeTargets(model.coder, model.insize, model.mean)
    for seed in range(8):
        seed_all(seed)
        expected = make(IMG, BBOX, LABEL)
        out = tuple(np.full_like(array, 7) for array in expected)
        seed_all(seed)
        for result, array, target in zip(make(IMG, BBOX, LABEL, out), out, expected):
            assert result is array
            np.testing.assert_array_equal(array, target)


def test_without_augmentation_an_image_is_only_resized():
    model = make_detector('slim300', 2)
    targets = MakeTargets(model.coder, 300, MEAN).without_augmentation()
    whole = np.array([[0, 0, 60, 80]], 'f')
    states = [np.random.get_state()[1].tolist(), np.random.get_state()[2], random.getstate()]
    img, mb_loc, mb_label = targets(IMG, whole, LABEL[:1])
    assert states == [np.random.get_state()[1].tolist(), np.random.get_state()[2],
                      random.getstate()]
    expected = cv2.resize(IMG.transpose(1, 2, 0).astype(np.uint8), (300, 300))
    assert np.abs(img + MEAN - expected.transpose(2, 0, 1)).max() <= 1
    loc, label = model.coder.encode(np.array([[0, 0, 300, 300]], 'f'), LABEL[:1])
    np.testing.assert_array_equal(mb_label, label)
    np.testing.assert_array_equal(mb_loc, loc)


def test_targets_of_an_image_without_objects_are_background():
    model = make_detector('slim300', 2)
    make = MakeTargets(model.coder, model.insize, model.mean)
    seed_all(0)
    img, mb_loc, mb_label = make(IMG, BBOX[:0], LABEL[:0])
    assert img.shape == (3, 300, 300) and img.dtype == np.float32
    assert not mb_loc.any() and not mb_label.any()


def test_targets_do_not_follow_a_coder_to_another_device():
    model = make_detector('slim300', 2)
    make = MakeTargets(model.coder, model.insize, model.mean)
    default_bbox, model.coder.default_bbox = model.coder.default_bbox, None
    assert make.coder.default_bbox is default_bbox


def augment_with(ignored, seed):
    """The result of the augmentation, with further boxes of the label ``IGNORED``."""
    seed_all(seed)
    bbox = np.concatenate([BBOX, np.array(ignored, 'f').reshape(-1, 4)])
    return augment(IMG, bbox, np.array([0, 1] + [IGNORED] * len(ignored), 'i'), 100, MEAN)


def test_ignored_regions_change_neither_the_crop_nor_the_objects():
    for seed in range(40):
        img, bbox, label = augment_with([], seed)
        other, other_bbox, other_label = augment_with([(0, 0, 3, 3), (1, 60, 59, 79)], seed)
        np.testing.assert_array_equal(other, img)
        np.testing.assert_array_equal(other_bbox[other_label >= 0], bbox)
        np.testing.assert_array_equal(other_label[other_label >= 0], label)


def test_ignored_regions_move_with_their_pixels():
    moved = 0
    for seed in range(40):
        _, bbox, label = augment_with(BBOX[:1], seed)  # the region is the first object's box
        for box in bbox[label == 0]:
            np.testing.assert_array_equal(bbox[label == IGNORED], [box])
            moved += 1
    assert moved > 20


def test_ignored_regions_are_flipped():
    flips = set()
    for seed in range(20):
        seed_all(seed)
        _, bbox, label = augment(IMG, np.array([[0, 0, 30, 20]], 'f'), np.array([IGNORED], 'i'), 80,
                                 MEAN, steps=())
        assert label.tolist() == [IGNORED]
        flips.add(tuple(bbox[0].tolist()))
    assert flips == {(0, 0, 40, 20), (0, 60, 40, 80)}


def test_ignored_regions_of_a_data_set_reach_the_targets(tmp_path):
    (cases.voc(tmp_path) / 'labels.txt').write_text('bolt\n')
    model = make_detector('slim300', 1)
    make = MakeTargets(model.coder, model.insize, model.mean, steps=())
    train = load_data(tmp_path).train
    labels = make(*train.as_decoded()[0][:3])[2]
    assert {-1, 0, 1} == set(labels.tolist())
    assert set(make(*train[0][:3])[2].tolist()) == {0, 1}
