"""Matching and offsets against ChainerCV's numbers, a loop, and the round trip."""
from multibox import matching
from multibox.detectors import make_detector

import numpy as np
import pytest
from chainer.backends import cuda
from hypothesis import given, settings
from hypothesis import strategies as st


@pytest.fixture(scope='module')
def default_bbox():
    return make_detector('slim300', 1).coder.default_bbox


def slow_match(iou, threshold):
    index = np.full(len(iou), -1)
    pairs = sorted((-iou[i, j], i, j) for i in range(iou.shape[0]) for j in range(iou.shape[1]))
    taken = set()
    for negative_iou, i, j in pairs:
        if -negative_iou > 1e-6 and index[i] < 0 and j not in taken:
            index[i] = j
            taken.add(j)
    for i in range(len(iou)):
        if index[i] < 0 and iou[i].max() >= threshold:
            index[i] = iou[i].argmax()
    return index


def test_ssd300_has_the_8732_default_boxes_of_the_paper(default_bbox):
    assert default_bbox.shape == (8732, 4)
    np.testing.assert_allclose(default_bbox[0], (4, 4, 30, 30))
    np.testing.assert_allclose(default_bbox[-1], (150, 150, 264 * 2 ** .5, 264 / 2 ** .5))


@pytest.mark.parametrize('image', [0, 1, 2], ids='image{}'.format)
def test_targets_are_chainercvs(xp, golden, default_bbox, image):
    g = golden('chainercv-coder_ssd300')
    bbox, label = xp.asarray(g[f'bbox{image}']), xp.asarray(g[f'label{image}'])
    default = xp.asarray(default_bbox / 300)
    index = matching.match_bipartite(matching.iou_with_default_boxes(default, bbox))
    mb_loc, mb_label = map(cuda.to_cpu, matching.encode(bbox, label, index, default))
    matched = np.flatnonzero(mb_label)
    np.testing.assert_array_equal(matched, g[f'index{image}'])
    np.testing.assert_array_equal(mb_label[matched], g[f'mb_label{image}'])
    np.testing.assert_allclose(mb_loc[matched], g[f'mb_loc{image}'], rtol=1e-5, atol=1e-5)


@settings(deadline=None, max_examples=200)
@given(st.integers(1, 12), st.integers(1, 5), st.integers(0, 2 ** 31))
def test_bipartite_matching_equals_a_sorted_loop(K, R, seed):
    rng = np.random.RandomState(seed)
    iou = rng.permutation(np.linspace(0, .95, K * R)).reshape(K, R)  # no ties
    np.testing.assert_array_equal(matching.match_bipartite(iou), slow_match(iou, .5))


def test_two_objects_that_claim_one_box_both_get_a_box(xp):
    iou = xp.asarray([[.9, .8], [.3, .2], [.1, .4]])
    assert matching.match_bipartite(iou).tolist() == [0, -1, 1]


def test_more_objects_than_boxes_leave_some_unmatched(xp):
    assert matching.match_bipartite(xp.asarray([[.2, .6, .3]])).tolist() == [1]


def test_the_threshold_itself_matches(xp):
    iou = xp.asarray([[.9], [.5], [.49]])
    assert matching.match_bipartite(iou, threshold=.5).tolist() == [0, 0, -1]


def test_next_to_no_overlap_is_none(xp):
    assert matching.match_bipartite(xp.asarray([[1e-7], [0.]])).tolist() == [-1, -1]


def test_an_object_that_overlaps_nothing_stays_unmatched(xp):
    assert matching.match_bipartite(xp.zeros((4, 1))).tolist() == [-1] * 4


def test_an_image_without_objects_is_all_background(xp, default_bbox):
    default = xp.asarray(default_bbox)
    bbox, label = xp.zeros((0, 4), 'f'), xp.zeros(0, 'i')
    index = matching.match_bipartite(matching.iou_with_default_boxes(default, bbox))
    mb_loc, mb_label = matching.encode(bbox, label, index, default)
    assert mb_loc.shape == (8732, 4) and not mb_loc.any() and not mb_label.any()


def test_background_gets_no_offsets(xp, default_bbox):
    default = xp.asarray(default_bbox)
    bbox, label = xp.asarray([[50, 60, 200, 180]], 'f'), xp.zeros(1, 'i')
    index = matching.match_bipartite(matching.iou_with_default_boxes(default, bbox))
    mb_loc, mb_label = matching.encode(bbox, label, index, default)
    assert mb_label.any() and not mb_loc[mb_label == 0].any()


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 2 ** 31))
def test_decode_undoes_encode(seed):
    rng = np.random.RandomState(seed)
    corner = rng.uniform(0, 200, (6, 2))
    bbox = np.hstack((corner, corner + rng.uniform(1, 100, (6, 2)))).astype('f')
    default = matching.to_center(bbox[::-1] + rng.uniform(0, .5, (6, 4)))
    mb_loc, _ = matching.encode(bbox, np.zeros(6, 'i'), np.arange(6), default)
    np.testing.assert_allclose(matching.decode(mb_loc, default), bbox, rtol=1e-4, atol=1e-3)


def test_corners_and_centre_are_inverse(xp):
    bbox = xp.asarray([[10., 20., 4., 6.]])
    assert matching.to_corners(bbox).tolist() == [[8, 17, 12, 23]]
    assert matching.to_center(matching.to_corners(bbox)).tolist() == bbox.tolist()
