"""Suppression per class and the coder, against ChainerCV's."""
from unittest import mock

from multibox.boxes import Coder, suppression
from multibox.boxes.suppression import Overlaps, suppress

import numpy as np
import pytest
from chainer.backends import cuda
from chainercv.links.model.ssd import MultiboxCoder
from chainercv.utils import bbox_iou, non_maximum_suppression
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

SEARCHES = pytest.mark.parametrize('shared', [0, 10 ** 6], ids=['one search', 'by blocks'])


def choose_search(shared, block=3):
    """Choose one of the CPU's two searches, with blocks so small that a few boxes fill several."""
    return mock.patch.multiple(suppression, SHARED=shared, BLOCK=block)


def class_by_class(bbox, score, nms_thresh, score_thresh):
    kept = []
    for row in score:
        likely = np.flatnonzero(row >= score_thresh)
        with np.errstate(all='ignore'):
            kept.append(likely[non_maximum_suppression(bbox[likely], nms_thresh, row[likely])])
    return kept


def assert_keeps_the_same(*arguments):
    for ours, chainercvs in zip(suppress(*arguments), class_by_class(*arguments), strict=True):
        np.testing.assert_array_equal(ours, chainercvs)


@st.composite
def crowds(draw):
    """Boxes on a coarse grid, and scores of few values. Many boxes are equal, empty or nan."""
    n_box, n_class = draw(st.integers(0, 24)), draw(st.integers(1, 4))
    corner = draw(hnp.arrays('i', (n_box, 2), elements=st.integers(0, 6)))
    size = draw(hnp.arrays('i', (n_box, 2), elements=st.integers(0, 4)))
    bbox = np.hstack((corner, corner + size)).astype(draw(st.sampled_from('fd')))
    bbox[draw(hnp.arrays(bool, n_box, elements=st.sampled_from([False] * 9 + [True])))] = np.nan
    values = st.sampled_from([0, .25, .5, .75, 1, np.nan])
    return bbox, draw(hnp.arrays('f', (n_class, n_box), elements=values))


@SEARCHES
@given(crowd=crowds(), thresh=st.sampled_from([0, .1, 1 / 3, .45, .5, 1]))
def test_each_class_keeps_the_boxes_that_chainercv_keeps(shared, crowd, thresh):
    with choose_search(shared):
        assert_keeps_the_same(*crowd, thresh, .25)


@SEARCHES
@pytest.mark.parametrize('n', [0, 1, 2, 300])
@pytest.mark.parametrize('unit', [1, 1e-3], ids='unit {}'.format)
def test_scattered_boxes_as_chainercv(shared, n, unit):
    rng = np.random.RandomState(n)
    corner = rng.uniform(0, 80, (n, 2))
    bbox = np.hstack((corner, corner + rng.uniform(5, 60, (n, 2)))) * unit
    with choose_search(shared, block=32):
        assert_keeps_the_same(bbox.astype('f'), rng.uniform(size=(3, n)).astype('f'), .45, .2)


ODD_BOXES = pytest.mark.parametrize('bbox', [
    [[np.nan] * 4, [0, 0, 10, 10], [20, 20, 30, 30]],
    [[np.nan] * 4] * 3,
    [[0, np.nan, 10, 10], [0, 0, 10, 10], [0, 0, 10, 9]],
    [[-np.inf, 0, np.inf, 10], [-np.inf, 0, np.inf, 10], [0, 0, 10, 10]],
    [[5, 5, 5, 5], [5, 5, 5, 5], [50, 50, 50, 50]],
    [[10, 10, 0, 0], [0, 0, 10, 10], [0, 0, 10, 10]],
    [[0, 0, 10, 10], [0, 0, 10, 5], [0, 5, 10, 10]],
], ids=['nan', 'all nan', 'a nan', 'inf', 'no area', 'inverted', 'exactly half'])


@SEARCHES
@ODD_BOXES
def test_odd_boxes_as_chainercv(shared, bbox):
    with choose_search(shared):
        assert_keeps_the_same(np.array(bbox, 'f'), np.array([[.9, .8, .7]], 'f'), .5, 0)


def test_each_class_keeps_its_best(xp):
    bbox = xp.array([[0, 0, 10, 10], [0, 0, 10, 9], [20, 20, 30, 30]], 'f')
    score = xp.array([[.5, .6, .7], [.6, .5, .1], [.1, .1, .1]], 'f')
    kept = suppress(bbox, score, .5, .25)
    assert [index.tolist() for index in kept] == [[2, 1], [0], []]


def test_without_suppression_every_likely_box_is_kept(xp):
    bbox = xp.zeros((3, 4), 'f')
    score = xp.array([[.5, np.nan, .7], [.2, .6, .25]], 'f')
    kept = suppress(bbox, score, None, .25)
    assert [index.tolist() for index in kept] == [[0, 2], [1, 2]]


@given(crowd=crowds(), thresh=st.sampled_from([.1, 1 / 3, .5]))
def test_overlaps_are_all_pairs_of_enough_iou(crowd, thresh):
    bbox = crowd[0]
    with np.errstate(all='ignore'), choose_search(0):
        expected = bbox_iou(bbox, bbox) >= thresh
        overlaps = Overlaps(np.ascontiguousarray(bbox.T), thresh)
        for i in reversed(range(len(bbox))):
            assert overlaps[i].tolist() == np.flatnonzero(expected[i]).tolist()


def small_coders():
    """ChainerCV's coder of 180 default boxes, and multibox's coder of the same boxes.

    Many of the boxes overlap by an IoU of 0.5.
    """
    theirs = MultiboxCoder((6, 3), ((2,), (2,)), (50, 100), (60, 120, 240), (.1, .2))
    return theirs, Coder(theirs._default_bbox, theirs._variance)


def levels(seed, *shape):
    """Numbers of few levels, so that many scores and many boxes are equal."""
    return np.random.RandomState(seed).randint(-3, 4, shape).astype('f')


@SEARCHES
@given(seed=st.integers(0, 99), nms_thresh=st.sampled_from([None, .3, .45, .5]),
       score_thresh=st.sampled_from([.01, .1, .3, .9, 1.1]), outlier=st.sampled_from([0, np.nan]))
def test_detections_are_chainercvs_to_the_bit(shared, seed, nms_thresh, score_thresh, outlier):
    theirs, ours = small_coders()
    mb_loc, mb_conf = levels(seed, 180, 4) / 4, levels(seed + 1, 180, 9)
    mb_loc[::2] = 0  # default boxes: rounding decides whether they reach an IoU of 0.5
    mb_loc[::50] += outlier
    mb_conf[::70] += outlier
    with np.errstate(all='ignore'):
        expected = theirs.decode(mb_loc, mb_conf, nms_thresh, score_thresh)
    with choose_search(shared, block=32):
        found = ours.decode(mb_loc, mb_conf, nms_thresh, score_thresh)
    for array, chainercvs in zip(found, expected, strict=True):
        assert array.dtype == chainercvs.dtype
        np.testing.assert_array_equal(array, chainercvs)


def test_decoding_on_any_device(xp):
    theirs, ours = small_coders()
    rng = np.random.RandomState(0)
    mb_loc, mb_conf = rng.normal(size=(180, 4)).astype('f'), rng.normal(size=(180, 9)).astype('f')
    expected = theirs.decode(mb_loc, mb_conf, .45, .1)
    if xp is not np:
        ours.to_gpu()
    found = ours.decode(xp.asarray(mb_loc), xp.asarray(mb_conf), .45, .1)
    for array, chainercvs in zip(found, expected, strict=True):
        assert isinstance(array, xp.ndarray)
        np.testing.assert_allclose(cuda.to_cpu(array), chainercvs, rtol=1e-4, atol=1e-4)
