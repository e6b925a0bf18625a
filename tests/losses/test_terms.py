"""The pieces that the formulations share, each on its own."""
from multibox.losses import blocks, cross_entropy
from multibox.losses.normalizer import mean_count
from multibox.losses.terms import smooth_l1
from multibox.losses.totals import CrossEntropy, total

import chainer
import chainer.functions as F
import numpy as np
import pytest
from chainer.backends import cuda


def test_smooth_l1_of_hand_worked_differences(xp):
    mb_locs = chainer.Variable(xp.asarray([[[.5, -.5, 2, -3], [9, 9, 9, 9]]], 'f'))
    loss = smooth_l1(mb_locs, xp.zeros((1, 2, 4), 'f'), xp.asarray([[True, False]]))
    np.testing.assert_allclose(cuda.to_cpu(loss.array), [[.125 + .125 + 1.5 + 2.5, 0]])


@pytest.mark.parametrize('bad', [np.nan, np.inf])
def test_smooth_l1_never_reads_the_target_of_another_box(xp, bad):
    mb_locs = chainer.Variable(xp.ones((1, 2, 4), 'f'))
    target = xp.asarray([[[0] * 4, [bad] * 4]], 'f')
    loss = smooth_l1(mb_locs, target, xp.asarray([[True, False]]))
    assert loss.array.tolist() == [[2, 0]]


@pytest.mark.filterwarnings('error')
@pytest.mark.parametrize('share', [.1, .6], ids='{} positive'.format)
@pytest.mark.parametrize('weight', [np.nan, np.inf])
def test_a_gradient_that_is_not_finite_stays_out_of_other_boxes(xp, share, weight):
    positive = np.arange(20) < 20 * share
    mb_locs = chainer.Variable(xp.zeros((1, 20, 4), 'f'))
    loss = smooth_l1(mb_locs, xp.ones((1, 20, 4), 'f'), xp.asarray(positive[None]), axis=None)
    loss.grad = xp.asarray(weight, 'f')
    loss.backward()
    assert not cuda.to_cpu(mb_locs.grad)[0, ~positive].any()


@pytest.mark.filterwarnings('error')
def test_no_difference_of_another_box_overflows(xp):
    mb_locs = xp.asarray([[[0] * 4, [0] * 4, [0] * 4, [3e38] * 4]], 'f')
    loss = smooth_l1(chainer.Variable(mb_locs), -mb_locs, xp.asarray([[True, True, True, False]]))
    assert loss.array.tolist() == [[0] * 4]


def test_smooth_l1_of_positive_boxes_is_chainers_huber_loss(xp, monkeypatch):
    monkeypatch.setattr(blocks, 'BLOCK', 24)  # blocks of 3 boxes
    monkeypatch.setattr(blocks, 'SPAN', 7)
    rng = np.random.RandomState(0)
    mb_locs, target = 2 * rng.normal(size=(2, 3, 20, 4))
    positive, weight = rng.uniform(size=(3, 20)) < .5, rng.normal(size=(3, 20))
    ours, chainers = chainer.Variable(xp.asarray(mb_locs)), chainer.Variable(mb_locs)
    loss = smooth_l1(ours, xp.asarray(target), xp.asarray(positive))
    expected = F.sum(F.huber_loss(chainers, target, 1, reduce='no'), axis=2) * positive
    loss.grad, expected.grad = xp.asarray(weight), weight
    loss.backward()
    expected.backward()
    np.testing.assert_allclose(cuda.to_cpu(loss.array), expected.array, rtol=1e-12)
    np.testing.assert_allclose(cuda.to_cpu(ours.grad), chainers.grad, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize('axis, expected', [(None, 15), (1, [4, 11])])
def test_a_box_counts_as_often_as_it_is_told(xp, axis, expected):
    loss = chainer.Variable(xp.asarray([[1, 2, 3], [4, 5, 6]], 'f'))
    counted = xp.asarray([[2, 1, 0], [0, 1, 1]])
    summed = total(loss, counted, axis)
    summed.grad = xp.full_like(summed.array, 10)
    summed.backward()
    assert summed.array.tolist() == expected
    assert loss.grad.tolist() == [[20, 10, 0], [0, 10, 10]]


def test_total_passes_back_zero_where_nothing_is_selected(xp):
    loss = chainer.Variable(xp.asarray([[1, np.nan, 3]], 'f'))
    summed = total(loss, xp.asarray([[True, False, True]]))
    summed.backward()
    assert float(summed.array) == 4 and loss.grad.tolist() == [[1, 0, 1]]


@pytest.mark.parametrize('axis', [None, 1])
def test_a_total_of_cross_entropies_equals_that_of_single_ones(xp, axis, monkeypatch):
    monkeypatch.setattr(blocks, 'BLOCK', 24)  # blocks of 3 boxes
    rng = np.random.RandomState(0)
    logits, labels = xp.asarray(rng.normal(size=(2, 30, 4))), xp.asarray(rng.randint(0, 4, (2, 30)))
    counted = xp.asarray(np.repeat(rng.randint(0, 3, (2, 10)), 3, axis=1))
    ours, separate = chainer.Variable(logits), chainer.Variable(logits)
    summed = CrossEntropy(ours, labels).total(counted, axis)
    expected = total(cross_entropy.softmax_cross_entropy(separate, labels), counted, axis)
    summed.grad = expected.grad = xp.asarray(rng.normal(size=summed.shape))
    summed.backward()
    expected.backward()
    np.testing.assert_array_equal(cuda.to_cpu(summed.array), cuda.to_cpu(expected.array))
    np.testing.assert_array_equal(cuda.to_cpu(ours.grad), cuda.to_cpu(separate.grad))


@pytest.mark.parametrize('axis', [None, 1])
def test_a_sum_of_smooth_l1_equals_the_sum_of_single_ones(xp, axis):
    rng = np.random.RandomState(0)
    mb_locs, target = xp.asarray(rng.normal(size=(2, 3, 20, 4)))
    positive = xp.asarray(rng.uniform(size=(3, 20)) < .5)
    ours, separate = chainer.Variable(mb_locs), chainer.Variable(mb_locs)
    summed = smooth_l1(ours, target, positive, axis)
    expected = F.sum(smooth_l1(separate, target, positive), axis=axis)
    summed.grad = expected.grad = xp.asarray(rng.normal(size=summed.shape))
    summed.backward()
    expected.backward()
    np.testing.assert_array_equal(cuda.to_cpu(summed.array), cuda.to_cpu(expected.array))
    np.testing.assert_array_equal(cuda.to_cpu(ours.grad), cuda.to_cpu(separate.grad))


@pytest.mark.parametrize('n, expected', [(0, 1), (1, 1), (5, 5)])
def test_the_count_divides_and_is_never_zero(xp, n, expected):
    count = mean_count(xp.arange(8)[None] < n, np.float32)
    assert count.dtype == np.float32 and count.shape == () and float(count) == expected
