"""The pieces that the formulations share, each on its own."""
from multibox.losses.terms import mean_count, smooth_l1, total

import chainer
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


def test_total_passes_back_zero_where_nothing_is_selected(xp):
    loss = chainer.Variable(xp.asarray([[1, np.nan, 3]], 'f'))
    summed = total(loss, xp.asarray([[True, False, True]]))
    summed.backward()
    assert float(summed.array) == 4 and loss.grad.tolist() == [[1, 0, 1]]


@pytest.mark.parametrize('n, expected', [(0, 1), (1, 1), (5, 5)])
def test_the_count_divides_and_is_never_zero(xp, n, expected):
    count = mean_count(xp.arange(8)[None] < n, np.float32)
    assert count.dtype == np.float32 and count.shape == () and float(count) == expected
