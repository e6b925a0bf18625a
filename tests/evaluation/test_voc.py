"""The score of a detector by the rules of VOC."""
import weakref

from multibox import evaluation

import numpy as np
import pytest

NAMES = ('cat', 'dog')
CAT, DOG = range(2)
HERE, THERE, NOWHERE = (10, 10, 50, 50), (60, 60, 90, 90), (0, 60, 30, 90)


class FakeDetector:
    """Returns the i-th list of detections for an image whose pixels have the value i."""

    def __init__(self, detections):
        self.detections = detections

    def predict(self, imgs):
        found = [self.detections[int(img[0, 0, 0])] for img in imgs]
        return ([np.reshape([box for box, _, _ in each], (-1, 4)) for each in found],
                [np.array([label for _, label, _ in each], np.int32) for each in found],
                [np.array([score for _, _, score in each], np.float32) for each in found])


def make_image(i, objects):
    """Image i of a data set, with objects given as (box, label, difficult)."""
    return (np.full((3, 4, 4), i, np.float32),
            np.array([box for box, _, _ in objects], np.float32).reshape(-1, 4),
            np.array([label for _, label, _ in objects], np.int32),
            np.array([difficult for _, _, difficult in objects], bool))


def evaluate(objects, detections, **options):
    dataset = [make_image(i, each) for i, each in enumerate(objects)]
    result, _ = evaluation.evaluate(
        FakeDetector(detections), dataset, NAMES, batchsize=2, **options)
    return result


TWO_CATS_ONE_DOG = [[(HERE, CAT, False)], [(HERE, DOG, False)], [(THERE, CAT, False)]]


def test_perfect_detections_score_one():
    result = evaluate(TWO_CATS_ONE_DOG, [
        [(HERE, CAT, 0.9)], [(HERE, DOG, 0.8)], [(THERE, CAT, 0.3)]])
    assert result['ap'] == {'cat': pytest.approx(1), 'dog': pytest.approx(1)}
    assert result['map'] == pytest.approx(1)


def test_no_detections_score_zero():
    assert evaluate(TWO_CATS_ONE_DOG, [[], [], []]) == {'ap': {'cat': 0, 'dog': 0}, 'map': 0}


# Cats by falling score: found, wrong, found. Precision is 1 up to recall 1/2, then 2/3 up to 1.
ONE_WRONG = [[(HERE, CAT, 0.9), (NOWHERE, CAT, 0.8)], [(HERE, DOG, 0.8)], [(THERE, CAT, 0.7)]]


@pytest.mark.parametrize('use_07_metric, ap', [
    (True, (6 * 1 + 5 * 2 / 3) / 11),  # recalls 0, 0.1, ..., 0.5, then 0.6, ..., 1
    (False, (1 + 2 / 3) / 2),
], ids=['11-point', 'area'])
def test_average_precision_worked_by_hand(use_07_metric, ap):
    result = evaluate(TWO_CATS_ONE_DOG, ONE_WRONG, use_07_metric=use_07_metric)
    assert result['ap'] == {'cat': pytest.approx(ap), 'dog': pytest.approx(1)}
    assert result['map'] == pytest.approx((ap + 1) / 2)


def test_eleven_points_are_the_default():
    assert evaluate(TWO_CATS_ONE_DOG, ONE_WRONG) == evaluate(
        TWO_CATS_ONE_DOG, ONE_WRONG, use_07_metric=True)


@pytest.mark.parametrize('wrong_dogs', [[], [(HERE, DOG, 0.9)]], ids=['none', 'one'])
def test_class_without_objects_has_no_score_and_is_not_in_the_mean(wrong_dogs):
    result = evaluate([[(HERE, CAT, False)], []], [[(HERE, CAT, 0.9)], wrong_dogs])
    assert result['ap'] == {'cat': pytest.approx(1), 'dog': None}
    assert result['map'] == pytest.approx(1)


@pytest.mark.parametrize('found', [True, False], ids=['found', 'missed'])
@pytest.mark.filterwarnings('error')
def test_difficult_objects_count_neither_way(found):
    detections = [(HERE, CAT, 0.5)] + [(THERE, CAT, 0.9)] * found
    result = evaluate([[(HERE, CAT, False), (THERE, CAT, True)]], [detections])
    assert result['ap']['cat'] == pytest.approx(1)


@pytest.mark.parametrize('objects', [[], [(HERE, CAT, True)]], ids=['empty', 'difficult'])
@pytest.mark.filterwarnings('error')
def test_data_set_without_objects_has_no_score(objects):
    result = evaluate([objects], [[(HERE, CAT, 0.9)]])
    assert result == {'ap': {'cat': None, 'dog': None}, 'map': None}


def test_images_are_not_kept():
    alive = weakref.WeakSet()
    most = []

    class Image(np.ndarray):  # a WeakSet needs hashable elements
        __hash__ = object.__hash__

    class Dataset:
        def __len__(self):
            return 20

        def __getitem__(self, i):
            img, *rest = make_image(0, [(HERE, CAT, False)])
            img = img.view(Image)
            alive.add(img)
            most.append(len(alive))
            return img, *rest

    evaluation.evaluate(FakeDetector([[(HERE, CAT, 0.9)]]), Dataset(), NAMES, batchsize=2)
    assert len(most) == 20 and max(most) <= 4  # a batch and the one before it
