"""The kernels of max pooling against the pooling on the CPU.

test_pooling.py compares the pooling on the CPU with Chainer's.
"""
from multibox.engines.pooling import cpu as on_cpu
from multibox.engines.pooling import gpu as pooling
from multibox.engines.pooling.function import MAX_TAPS

import numpy as np
import pytest
from chainer.backends import cuda
from chainer.utils import conv

TOLERANCE = {'float32': 1e-6, 'float16': 4e-3}


def assert_as_on_cpu(xp, x, ksize=(2, 2), stride=(2, 2), pad=(0, 0), cover_all=True):
    """Pool x, an array of xp, and send a gradient back. Returns both results of the kernels."""
    on_host = cuda.to_cpu(x)
    geometry = ksize, stride, pad
    in_size = x.shape[2:]
    out_size = [conv.get_conv_outsize(*axis, cover_all) for axis in zip(in_size, *geometry)]
    expected = on_cpu.max_pool(on_host, geometry, out_size)
    actual = pooling.max_pool(x, geometry, out_size)
    for one, other in zip(actual, expected):
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(cuda.to_cpu(one), other)
    gy = np.random.default_rng(1).standard_normal(expected[0].shape).astype(x.dtype)
    gx = pooling.max_pool_gradient(xp.asarray(gy), actual[1], geometry, in_size)
    tolerance = TOLERANCE[x.dtype.name]
    np.testing.assert_allclose(
        cuda.to_cpu(gx), on_cpu.max_pool_gradient(gy, expected[1], geometry, in_size),
        rtol=tolerance, atol=tolerance)
    return actual[0], gx


def random_array(xp, shape, dtype='f'):
    """Whole numbers of few levels, so that maxima tie."""
    return xp.asarray(np.random.default_rng(0).integers(-9, 9, shape).astype(dtype))


@pytest.mark.parametrize('pad', [(0, 0), (1, 1)], ids=str)
@pytest.mark.parametrize('size', [(2, 2), (7, 6), (6, 39)], ids=str)
@pytest.mark.parametrize('cover_all', [True, False])
def test_windows_side_by_side(kernel_xp, size, pad, cover_all):
    x = random_array(kernel_xp, (2, 3, *size))
    assert_as_on_cpu(kernel_xp, x, pad=pad, cover_all=cover_all)


@pytest.mark.parametrize('pad', [(0, 0), (1, 0)], ids=str)
@pytest.mark.parametrize('ksize, stride', [((3, 3), (1, 1)), ((3, 2), (2, 1)), ((2, 1), (3, 2))],
                         ids=str)
def test_windows_that_overlap_or_leave_gaps(kernel_xp, ksize, stride, pad):
    assert_as_on_cpu(kernel_xp, random_array(kernel_xp, (2, 3, 7, 20)), ksize, stride, pad)


def test_every_pixel_of_a_flat_image_has_a_thread(kernel_xp):
    assert_as_on_cpu(kernel_xp, random_array(kernel_xp, (1, 1, 2, 600)), (3, 2), (2, 1), (1, 0))


def test_a_byte_is_enough_for_the_largest_window(kernel_xp):
    assert MAX_TAPS == 16 * 16
    assert_as_on_cpu(kernel_xp, random_array(kernel_xp, (1, 2, 17, 18)), (16, 16), (1, 1))


def test_float16(kernel_xp):
    assert_as_on_cpu(kernel_xp, random_array(kernel_xp, (2, 3, 7, 6), np.float16))


@pytest.mark.parametrize('ksize, stride, pad', [((2, 2), (2, 2), (0, 0)), ((3, 3), (1, 1), (1, 1))],
                         ids=str)
def test_eight_channels_per_thread(kernel_xp, ksize, stride, pad):
    x = random_array(kernel_xp, (2, 7, 6, 24), np.float16).transpose(0, 3, 1, 2)
    assert_as_on_cpu(kernel_xp, x, ksize, stride, pad)


def test_relu_stops_gradients_of_maxima_that_are_not_positive(kernel_xp):
    x = random_array(kernel_xp, (2, 7, 6, 8)).transpose(0, 3, 1, 2) - 5
    geometry = (2, 2), (2, 2), (0, 0)
    y, index = on_cpu.max_pool(cuda.to_cpu(x), geometry, (4, 3))
    actual, marked = pooling.max_pool(x, geometry, (4, 3), relu=True)
    np.testing.assert_array_equal(cuda.to_cpu(actual), np.maximum(y, 0))
    np.testing.assert_array_equal(cuda.to_cpu(marked), index + pooling.STOPPED * (y <= 0))
    gx = pooling.max_pool_gradient(actual + 1, marked, geometry, (7, 6))
    np.testing.assert_array_equal(
        cuda.to_cpu(gx), on_cpu.max_pool_gradient((y + 1) * (y > 0), index, geometry, (7, 6)))


def test_nan_comes_through_a_relu(kernel_xp):
    x = kernel_xp.asarray(np.array([np.nan, -1, -1, -1], 'f').reshape(1, 1, 2, 2))
    y, index = pooling.max_pool(x, [(2, 2), (2, 2), (0, 0)], (1, 1), relu=True)
    assert np.isnan(float(y[0, 0, 0, 0])) and int(index[0, 0, 0, 0]) >= pooling.STOPPED


@pytest.mark.parametrize('channels', [1, 3, 300])
def test_channels_innermost_in_memory_stay_there(kernel_xp, channels):
    x = random_array(kernel_xp, (2, 7, 6, channels)).transpose(0, 3, 1, 2)
    for array in assert_as_on_cpu(kernel_xp, x):
        assert array.transpose(0, 2, 3, 1).flags.c_contiguous


def test_views_are_read_as_they_are(kernel_xp):
    for array in assert_as_on_cpu(kernel_xp, random_array(kernel_xp, (4, 6, 14, 6))[::2, ::2, ::2]):
        assert array.flags.c_contiguous


def test_a_gradient_may_have_another_memory_order(kernel_xp):
    x = random_array(kernel_xp, (2, 6, 4, 3)).transpose(0, 3, 1, 2)
    y, index = pooling.max_pool(x, [(2, 2), (2, 2), (0, 0)], (3, 2))
    gx = pooling.max_pool_gradient(
        kernel_xp.ascontiguousarray(y), index, [(2, 2), (2, 2), (0, 0)], (6, 4))
    assert gx.sum() == y.sum()


def test_nan_comes_through(kernel_xp):
    x = np.zeros((1, 1, 4, 4), 'f')
    x[0, 0, 1, 1], x[0, 0, 0, 2], x[0, 0, 3] = np.nan, np.nan, -np.inf
    assert_as_on_cpu(kernel_xp, kernel_xp.asarray(x))
