"""The kernels for the gradients of ReLU and of a bias, against sums and masks in float64."""
import math

from multibox.engines import kernels
from multibox.engines.activation import gpu as activation

import numpy as np
import pytest
from chainer.backends import cuda


def draw(xp, shape, dtype='float32', seed=0):
    """(B, C, H, W) maps of whole numbers and nan, their channels innermost in memory."""
    if dtype == 'bfloat16':
        dtype = pytest.importorskip('ml_dtypes').bfloat16
    n, c, h, w = shape
    numbers = np.random.default_rng(seed).integers(-7, 8, (n, h, w, c)).astype('f')
    return xp.asarray(numbers.astype(dtype)).transpose(0, 3, 1, 2)


def exact(y, gy, ceiling=math.inf):
    """The gradient before the ReLU, and its sums, in float64."""
    y, gy = (cuda.to_cpu(array).astype(float) for array in (y, gy))
    gx = np.where((y > 0) & ((y < ceiling) | (ceiling == math.inf)), gy, 0)
    return gx, gx.sum(axis=(0, 2, 3))


def is_innermost(x):
    return x.transpose(0, 2, 3, 1).flags.c_contiguous


@pytest.mark.parametrize('dtype, shape', [
    ('float32', (2, 8, 9, 13)), ('float32', (3, 5, 7, 1)), ('float32', (1, 1028, 1, 3)),
    ('float16', (2, 16, 9, 13)), ('bfloat16', (2, 16, 9, 13))], ids=str)
def test_gradient_and_sums_in_one_pass(kernel_xp, dtype, shape):
    y, gy = (draw(kernel_xp, shape, dtype, seed) for seed in range(2))
    gx, sums = activation.rectify(y, gy, sum_dtype=np.float32)
    assert gx.dtype == y.dtype and sums.dtype == np.float32 and is_innermost(gx)
    for actual, expected in zip((gx, sums), exact(y, gy)):
        np.testing.assert_array_equal(cuda.to_cpu(actual).astype(float), expected)


def test_blocks_share_many_pixels(kernel_xp, monkeypatch):
    monkeypatch.setattr(activation, '_PARTS', 3)
    y, gy = (draw(kernel_xp, (2, 8, 90, 13), seed=seed) for seed in range(2))
    for actual, expected in zip(activation.rectify(y, gy, sum_dtype='f'), exact(y, gy)):
        np.testing.assert_array_equal(cuda.to_cpu(actual), expected)


def test_a_ceiling_stops_gradients_too(kernel_xp):
    y, gy = (draw(kernel_xp, (2, 8, 9, 13), seed=seed) for seed in range(2))
    gx, _ = activation.rectify(y, gy, 6, sum_dtype='f')
    assert (cuda.to_cpu(gx)[cuda.to_cpu(y) >= 6] == 0).all()
    np.testing.assert_array_equal(cuda.to_cpu(gx), exact(y, gy, 6)[0])


def test_infinity_passes_a_relu_without_a_ceiling_and_nan_does_not(kernel_xp):
    y = kernel_xp.asarray(np.array([np.inf, np.nan, 0, 1], 'f').reshape(1, 4, 1, 1))
    gx, _ = activation.rectify(y, kernel_xp.ones_like(y), sum_dtype='f')
    assert gx.ravel().tolist() == [1, 0, 0, 1]


def test_sums_alone_of_float16_are_in_float32(kernel_xp):
    x = kernel_xp.full((2, 3, 2, 64), 2000, np.float16).transpose(0, 3, 1, 2)
    x[:, :, :, 1] = -1999  # the sum of a row is beyond float16
    gx, sums = activation.rectify(None, x, write=False, sum_dtype=np.float32)
    assert gx is None
    assert sums.tolist() == [2 * 3] * 64


def test_the_gradient_alone(kernel_xp):
    y, gy = (draw(kernel_xp, (2, 8, 9, 13), seed=seed) for seed in range(2))
    gx, sums = activation.rectify(y, kernel_xp.ascontiguousarray(gy))
    assert sums is None and is_innermost(gx)
    np.testing.assert_array_equal(cuda.to_cpu(gx), exact(y, gy)[0])


def test_the_sums_behind_a_relu_alone(kernel_xp):
    y, gy = (draw(kernel_xp, (2, 8, 9, 13), seed=seed) for seed in range(2))
    given = gy.copy()
    _, sums = activation.rectify(y, gy, write=False, sum_dtype='f')
    np.testing.assert_array_equal(cuda.to_cpu(sums), exact(y, gy)[1])
    np.testing.assert_array_equal(cuda.to_cpu(gy), cuda.to_cpu(given))


def test_sums_repeat_to_the_bit(kernel_xp):
    y, gy = (draw(kernel_xp, (2, 8, 9, 13), seed=seed) / 7 for seed in range(2))
    once, again = (activation.rectify(y, gy, sum_dtype='f')[1] for _ in range(2))
    np.testing.assert_array_equal(cuda.to_cpu(once), cuda.to_cpu(again))


@pytest.mark.parametrize('n', [2, 3, 8])
def test_maps_are_added_in_one_launch(kernel_xp, n):
    maps = [draw(kernel_xp, (2, 3, 5, 4), 'float16', seed) for seed in range(n)]
    total = activation.add(maps)
    assert total.dtype == np.float16 and is_innermost(total)
    np.testing.assert_array_equal(cuda.to_cpu(total), sum(map(cuda.to_cpu, maps)))


def test_a_load_is_as_wide_as_length_and_addresses_allow(monkeypatch):
    monkeypatch.setattr(kernels, 'address', lambda address: address.start)

    class Address(np.ndarray):
        start = 0
    halves = np.zeros(64, np.float16).view(Address)
    assert [kernels.vector(n, halves) for n in (64, 20, 6, 5)] == [8, 4, 2, 1]
    assert kernels.vector(64, halves.view(np.float32).view(Address)) == 4
    halves.start = 4
    assert kernels.vector(64, halves) == 2
