"""Matching and offsets against ChainerCV's numbers and loops, and a round trip of offsets."""
from multibox import matching
from multibox.networks import make_detector

import numpy as np
import pytest
from chainer.backends import cuda
from chainercv.utils import bbox_iou
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


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 6), st.integers(0, 2 ** 31))
def test_overlaps_are_chainercvs_bit_for_bit(default_bbox, R, seed):
    rng = np.random.RandomState(seed)
    corner = rng.uniform(0, 290, (R, 2))
    bbox = np.hstack((corner, corner + rng.uniform(1, 200, (R, 2)))).astype('f')
    default = default_bbox[::7]
    expected = bbox_iou(matching.to_corners(default), bbox)
    np.testing.assert_array_equal(matching.iou_with_default_boxes(default, bbox), expected)


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
@given(st.integers(1, 12), st.integers(1, 5), st.booleans(), st.integers(0, 2 ** 31))
def test_bipartite_matching_equals_a_sorted_loop(K, R, ties, seed):
    rng = np.random.RandomState(seed)
    iou = rng.permutation(np.linspace(0, .95, K * R)).reshape(K, R)
    if ties:
        iou = np.round(iou * 4) / 4
    np.testing.assert_array_equal(matching.match_bipartite(iou), slow_match(iou, .5))


def test_two_objects_that_claim_one_box_both_get_a_box(xp):
    iou = xp.asarray([[.9, .8], [.3, .2], [.1, .4]])
    assert matching.match_bipartite(iou).tolist() == [0, -1, 1]


def test_more_objects_than_boxes_leave_some_unmatched(xp):
    assert matching.match_bipartite(xp.asarray([[.2, .6, .3]])).tolist() == [1]


def test_the_threshold_itself_matches(xp):
    iou = xp.asarray([[.9], [.5], [.49]])
    assert matching.match_bipartite(iou, threshold=.5).tolist() == [0, 0, -1]


def test_a_negligible_overlap_is_no_match(xp):
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


def slow_forced(iou, is_match):
    index = [-1] * len(iou)
    for i, row in enumerate(iou):
        if len(row) and is_match(max(row)):
            index[i] = list(row).index(max(row))
    for j in range(iou.shape[1]):
        column = list(iou[:, j])
        index[column.index(max(column))] = j
    return index


@settings(deadline=None, max_examples=200)
@given(st.integers(1, 12), st.integers(0, 5), st.sampled_from([.25, .5]), st.integers(0, 2 ** 31))
def test_forced_matching_equals_a_loop(K, R, threshold, seed):
    iou = np.random.RandomState(seed).randint(0, 5, (K, R)) / 4  # ties, and overlaps of exactly 0.5
    np.testing.assert_array_equal(
        matching.match_forced(iou, threshold), slow_forced(iou, lambda best: best >= threshold))
    np.testing.assert_array_equal(matching.match_forced_above(iou, threshold),
                                  slow_forced(iou, lambda best: best > threshold))


def test_of_two_objects_that_claim_one_box_the_later_wins(xp):
    iou = xp.asarray([[.9, .8], [.3, .2], [.1, .4]])
    assert matching.match_forced(iou).tolist() == [1, -1, -1]
    assert matching.match_forced_above(iou).tolist() == [1, -1, -1]


def test_of_two_objects_that_claim_one_box_the_earlier_wins_in_tensorflow(xp):
    iou = xp.asarray([[.9, .8, .7], [.3, .2, .1], [.1, .4, .5]])
    assert matching.match_forced_first(iou).tolist() == [0, -1, 2]
    assert matching.match_forced_first(iou[::-1]).tolist() == [2, -1, 0]


def test_the_threshold_itself_matches_by_one_forced_rule_only(xp):
    iou = xp.asarray([[.9], [.5], [.49]])
    assert matching.match_forced(iou).tolist() == [0, 0, -1]
    assert matching.match_forced_above(iou).tolist() == [0, -1, -1]


def test_an_object_that_overlaps_nothing_is_forced_on_the_first_box(xp):
    assert matching.match_forced(xp.zeros((4, 1))).tolist() == [0, -1, -1, -1]


def test_near_misses_are_ignored(xp):
    iou = xp.asarray([[.9], [.4], [.3], [.2]])
    index = matching.match_bipartite(iou)
    assert matching.ignore_near_misses(index, iou, neg_overlap=.3).tolist() == [0, -2, -2, -1]
    assert matching.ignore_near_misses(index, iou, neg_overlap=.5).tolist() == index.tolist()
    nothing = xp.zeros((4, 0))
    assert matching.ignore_near_misses(
        matching.match_forced(nothing), nothing, neg_overlap=.3).tolist() == [-1] * 4


def test_an_ignored_box_gets_label_minus_one_and_no_offsets(xp):
    default = xp.asarray([[.5, .5, .2, .2], [.5, .5, .2, .2]])
    bbox, label = xp.asarray([[.4, .4, .7, .6]]), xp.asarray([3])
    mb_loc, mb_label = matching.encode(bbox, label, xp.asarray([-2, 0]), default)
    assert mb_label.tolist() == [-1, 4]
    assert not mb_loc[0].any() and mb_loc[1].any()


coordinates = st.floats(width=32) | st.floats(0, 1, width=32) | st.sampled_from([0., .5, 1e-38])


@pytest.mark.filterwarnings('error')
@pytest.mark.parametrize('rule', [
    matching.match_bipartite, matching.match_forced, matching.match_forced_above,
    matching.match_forced_first])
@settings(deadline=None, max_examples=200)
@given(bbox=st.lists(st.tuples(*[coordinates] * 4), max_size=5),
       dtype=st.sampled_from([np.float16, np.float32, np.float64]))
def test_targets_are_finite_for_any_box(rule, bbox, dtype):
    default = np.array([[.5, .5, .2, .2], [.3, .7, .4, .1], [.1, .1, .05, .05]], dtype)
    bbox = np.array(bbox, np.float32).reshape(-1, 4)
    iou = matching.iou_with_default_boxes(default, bbox)
    mb_loc, mb_label = matching.encode(bbox, np.zeros(len(bbox), 'i'), rule(iou), default)
    assert np.isfinite(mb_loc).all() and np.isfinite(iou).all()
    proper = matching.is_proper(bbox)
    assert set(rule(iou)) <= {-1, *np.flatnonzero(proper)}
    forced = np.arange(3) % max(len(bbox), 1)  # matches that no rule would make
    mb_loc, mb_label = matching.encode(bbox, np.zeros(len(bbox), 'i'), forced, default)
    assert np.isfinite(mb_loc).all()
    assert (mb_label > 0).tolist() == [len(bbox) > 0 and bool(proper[j]) for j in forced]


@pytest.mark.parametrize('bbox', [
    [.3, .3, .3, .5], [.6, .6, .4, .4], [np.nan, .4, .6, .6], [.4, .4, np.inf, .6]],
    ids=['no-area', 'inverted', 'nan', 'inf'])
@pytest.mark.parametrize('rule', [
    matching.match_bipartite, matching.match_forced, matching.match_forced_above,
    matching.match_forced_first])
def test_a_degenerate_object_takes_no_box_from_another(xp, rule, bbox):
    default = xp.asarray([[.5, .5, .2, .2], [.1, .1, .05, .05]], 'f')
    good = xp.asarray([[.4, .4, .6, .6]], 'f')
    both = xp.concatenate((good, xp.asarray([bbox], 'f')))
    alone, together = (rule(matching.iou_with_default_boxes(default, x)).tolist()
                       for x in (good, both))
    assert alone == together == [0, -1]


@pytest.mark.parametrize('size, proper', [(1e-15, True), (9e-16, False), (1e15, True),
                                          (1.1e15, False)])
def test_the_bounds_of_a_proper_box(size, proper):
    assert matching.is_proper(np.array([[0, 0, 1, size]])).tolist() == [proper]
