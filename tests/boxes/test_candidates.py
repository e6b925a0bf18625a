"""Matching by the candidates alone gives what the whole IoU table gives, for every rule."""
from multibox.boxes import Coder, candidates
from multibox.boxes.geometry import iou_with_default_boxes
from multibox.boxes.matching import RULES, match_bipartite
from multibox.networks import make_detector

import numpy as np
import pytest


def objects(rng, n, smallest, largest, side=300):
    corner = rng.uniform(0, side - smallest, (n, 2))
    size = np.exp(rng.uniform(np.log(smallest), np.log(largest), (n, 2)))
    return np.hstack((corner, np.minimum(corner + size, side))).astype('f')


@pytest.fixture(scope='module')
def coder():
    """The default boxes of SSD300."""
    return make_detector('slim300', 3).coder


def matched(coder, bbox, rule, threshold=.5):
    """The matched objects by the candidates, and by the whole table."""
    index = candidates.find_grids(coder.default_bbox).match(
        coder.default_bbox, bbox, threshold, rule)
    return index, rule(iou_with_default_boxes(coder.default_bbox, bbox), threshold)


@pytest.mark.parametrize('rule', RULES)
@pytest.mark.parametrize('smallest, largest', [(.1, 2), (2, 15), (15, 300)])
def test_candidates_decide_every_rule(coder, rule, smallest, largest):
    rng = np.random.default_rng(0)
    for threshold in (.5, .35, 1e-3, .9):
        for n in (1, 2, 5, 15):
            index, expected = matched(coder, objects(rng, n, smallest, largest), RULES[rule],
                                      threshold)
            if index is not None:
                np.testing.assert_array_equal(index, expected)


@pytest.mark.parametrize('model', ['lite300', 'slim300', 'ssd512'])
def test_candidates_decide_almost_always(model):
    coder, rng = make_detector(model, 3).coder, np.random.default_rng(0)
    n_decided = 0
    for _ in range(20):
        index, expected = matched(coder, objects(rng, 8, 10, 200), match_bipartite)
        if index is not None:
            n_decided += 1
            np.testing.assert_array_equal(index, expected)
    assert n_decided > 18


def test_an_object_whose_candidates_are_all_taken_is_left_to_the_whole_table(coder):
    bbox = np.tile(np.array([[100, 100, 160, 160]], 'f'), (40, 1))
    assert matched(coder, bbox, match_bipartite)[0] is None
    mb_label = coder.encode(bbox, np.arange(40))[1]
    assert set(mb_label) == set(range(41))


@pytest.mark.parametrize('box', [[10, 10, 10, 20], [30, 30, 20, 40], [np.nan, 1, 2, 3],
                                 [0, 0, 1, np.inf], [0, 0, 1e-9, 1], [1e12, 1e12, 2e12, 2e12]])
def test_objects_beyond_the_rounding_are_left_to_the_whole_table(coder, box):
    bbox = np.array([[100, 100, 160, 160], box], 'f')
    assert matched(coder, bbox, match_bipartite)[0] is None
    assert 1 in coder.encode(bbox, np.arange(2))[1]


def test_an_object_beside_the_image_is_matched_as_by_the_whole_table(coder):
    bbox = np.array([[100, 100, 160, 160], [-900, -900, -700, -700]], 'f')
    for rule in RULES.values():
        index, expected = matched(coder, bbox, rule)
        assert index is None or (index == expected).all()


def test_only_a_positive_threshold_and_a_known_rule_have_candidates(coder):
    bbox, rule = np.array([[100, 100, 160, 160]], 'f'), RULES['forced']
    assert matched(coder, bbox, rule)[0] is not None
    for threshold in (0, -1, np.nan):
        assert matched(coder, bbox, rule, threshold)[0] is None
    assert matched(coder, bbox, lambda iou, threshold: rule(iou, threshold))[0] is None


@pytest.mark.parametrize('change', [
    lambda boxes: boxes[1:], lambda boxes: boxes.astype('f'), lambda boxes: boxes ** 1.01,
    lambda boxes: np.concatenate([boxes, boxes]), lambda boxes: boxes * [1, 1, 1, 1e-9]])
def test_other_default_boxes_use_the_whole_table(coder, change):
    boxes = change(coder.default_bbox)
    bbox, label = np.array([[100, 100, 160, 160], [7, 20, 90, 70]], 'f'), np.arange(2)
    assert candidates.find_grids(boxes) is None
    index = match_bipartite(iou_with_default_boxes(boxes, bbox))
    np.testing.assert_array_equal(Coder(boxes).encode(bbox, label)[1], index + 1)


def test_default_boxes_that_replace_others_are_matched():
    coder, bbox, label = make_detector('slim300', 3).coder, objects(
        np.random.default_rng(0), 5, 10, 200), np.arange(5)
    before = coder.encode(bbox, label)
    coder.default_bbox = coder.default_bbox * 2
    after = coder.encode(bbox * 2, label)
    np.testing.assert_array_equal(after[1], before[1])


def test_targets_are_written_into_given_arrays(coder):
    bbox, label = objects(np.random.default_rng(0), 6, 10, 200), np.array([0, 1, -1, 2, -1, 0])
    expected = coder.encode(bbox, label)
    out = np.full((8732, 4), np.nan, 'f'), np.full(8732, 7, 'i')
    for result, array, target in zip(coder.encode(bbox, label, out=out), out, expected):
        assert result is array
        np.testing.assert_array_equal(array, target)
