"""Near duplicates of boxes are dropped as greedy suppression drops them."""
import tracemalloc

from multibox.boxes.duplicates import distinct

import numpy as np
import pytest
from chainercv.utils import bbox_iou
from hypothesis import given, settings
from hypothesis import strategies as st


def slow(bbox, order, threshold):
    kept = []
    for i in order:
        if not any(bbox_iou(bbox[[i]], bbox[[j]])[0, 0] > threshold for j in kept):
            kept.append(i)
    return sorted(kept)


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 40), st.sampled_from([.01, .3, .5, .9, .99]), st.booleans(),
       st.integers(0, 2 ** 31))
def test_equals_greedy_suppression(n, threshold, alike, seed):
    rng = np.random.RandomState(seed)
    corner, size = rng.uniform(0, 20, (n, 2)), rng.uniform(1, 30, (n, 2))
    bbox = np.hstack((corner, corner + size)).astype('f')
    if alike and n:  # many boxes are copies of a few, moved a little
        bbox = bbox[rng.randint(0, (n + 3) // 4, n)] + rng.choice([0, .01, .2], (n, 4)).astype('f')
    order = rng.permutation(n)
    assert np.flatnonzero(distinct(bbox, order, threshold)).tolist() == slow(bbox, order, threshold)


def test_a_threshold_of_one_keeps_equal_boxes():
    assert distinct(np.array([[0, 0, 1, 1]] * 3, 'f'), np.arange(3), 1).all()


@pytest.mark.filterwarnings('error')
def test_boxes_that_are_not_finite_stay():
    bbox = np.array([[np.nan] * 4, [0, 0, np.inf, 1], [0, 0, 2, 2], [0, 0, 2, 2]], 'f')
    assert distinct(bbox, np.array([3, 0, 1, 2]), .9).tolist() == [True, True, False, True]


def test_thousands_of_equal_boxes_leave_one():
    bbox = np.tile(np.array([[3, 4, 50, 60]], 'f'), (8732, 1))
    assert np.flatnonzero(distinct(bbox, np.arange(8732)[::-1], .99)).tolist() == [8731]


@pytest.mark.parametrize('threshold', [0, 1e-5])
def test_a_small_box_drops_a_large_one_at_a_low_threshold(threshold):
    bbox = np.array([[0, 5e4, 1, 5e4 + 1], [0, 0, 1, 6e4]])  # IoU 1.67e-5
    assert distinct(bbox, np.arange(2), threshold).tolist() == [True, False]


def test_areas_of_float16_do_not_overflow():
    assert distinct(np.array([[0, 0, 300, 300]] * 2, 'e'), np.arange(2), .9).tolist() == [
        True, False]


def test_coincident_boxes_take_bounded_memory():
    bbox = np.tile(np.array([[3, 4, 50, 60]], 'f'), (8732, 1))
    tracemalloc.start()
    distinct(bbox, np.arange(8732), .99)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 60e6
