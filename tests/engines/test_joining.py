"""The results of the heads in one array, against Chainer's functions."""
from multibox.engines import join_heads
from multibox.engines.joining.function import Join

import chainer
import chainer.functions as F
import numpy as np
import pytest
from chainer.backends import cuda

SHAPES = (2, 12, 3, 4), (2, 18, 2, 1), (2, 12, 1, 1)


def draw(xp, dtype):
    """Maps with the channels innermost in memory."""
    rng = np.random.default_rng(0)
    return [xp.asarray(rng.standard_normal((n, h, w, c)).astype(dtype)).transpose(0, 3, 1, 2)
            for n, c, h, w in SHAPES]


def by_chainer(maps, n):
    return F.concat([F.reshape(F.transpose(x, (0, 2, 3, 1)), (len(x), -1, n)) for x in maps])


def derivatives(function, maps):
    """The joined array, its gradients, and the gradients of these."""
    maps = list(map(chainer.Variable, maps))
    y = function(maps, 3)
    gradients = chainer.grad([y], maps, [y * y], enable_double_backprop=True)
    again = chainer.grad(gradients[:2], maps, gradients[:2], enable_double_backprop=True)
    return [y.array, *(each.array for each in (*gradients, *again))]


@pytest.mark.parametrize('dtype', ['float32', 'float16'])
def test_kernels_join_and_split(kernel_xp, dtype):
    maps = draw(kernel_xp, dtype)
    expected = derivatives(by_chainer, [cuda.to_cpu(x).astype('f') for x in maps])
    actual = derivatives(join_heads, maps)
    assert [x.dtype for x in actual] == ['float32'] + [dtype] * 6
    assert all(x.transpose(0, 2, 3, 1).flags.c_contiguous for x in actual[1:4])
    for one, other in zip(actual, expected, strict=True):
        tolerance = 1e-6 if dtype == 'float32' else .01
        np.testing.assert_allclose(cuda.to_cpu(one), other, rtol=tolerance, atol=tolerance)


def test_maps_in_another_order_are_joined_by_chainer(kernel_xp):
    maps = [kernel_xp.ascontiguousarray(x) for x in draw(kernel_xp, 'f')]
    y = join_heads(list(map(chainer.Variable, maps)), 3)
    assert not isinstance(y.creator, Join)
    np.testing.assert_array_equal(
        cuda.to_cpu(y.array), by_chainer([cuda.to_cpu(x) for x in maps], 3).array)


def test_on_a_cpu_functions_are_chainers():
    for one, other in zip(derivatives(join_heads, draw(np, 'f')),
                          derivatives(by_chainer, draw(np, 'f')), strict=True):
        np.testing.assert_array_equal(one, other)
