"""The kernels of L2 normalisation against ChainerCV's link on the CPU."""
from multibox.engines.normalization.gpu import L2Normalize

import chainer
import numpy as np
import pytest
from chainer.backends import cuda
from chainercv.links.model.ssd import Normalize

EPS = .1  # large enough to change every result


def normalized(function, x, scale, gy):
    """y, and the gradients of sum(y * gy) with respect to x and scale."""
    x, scale = chainer.Variable(x), chainer.Parameter(scale)
    y = function(x, scale)
    y.grad = gy
    y.backward()
    return y.array, x.grad, scale.grad


def chainercvs(x, scale):
    link = Normalize(scale.size, eps=EPS)
    link.scale = scale
    return link(x)


def assert_as_chainercvs(xp, x, tolerance=1e-5):
    """Compare the kernels on x, an array of xp, with ChainerCV's link in float64.

    Returns the results of the kernels: y and the gradients of x and of the scale.
    """
    rng = np.random.default_rng(1)
    scale = (20 + rng.standard_normal(x.shape[1])).astype(x.dtype)
    gy = rng.standard_normal(x.shape).astype(x.dtype)
    expected = normalized(chainercvs, *(
        cuda.to_cpu(array).astype(float) for array in (x, scale, gy)))
    given = xp.array(gy)
    actual = normalized(lambda *inputs: L2Normalize(EPS).apply(inputs)[0], x, xp.asarray(scale),
                        given)
    np.testing.assert_array_equal(cuda.to_cpu(given), gy)
    for one, other in zip(actual, expected):
        assert one.dtype == x.dtype
        np.testing.assert_allclose(cuda.to_cpu(one), other, rtol=tolerance,
                                   atol=tolerance * abs(other).max())
    return actual


def random_array(xp, shape, dtype='f'):
    return xp.asarray(np.random.default_rng(0).standard_normal(shape).astype(dtype))


@pytest.mark.parametrize('shape', [(2, 24, 5, 9), (1, 3, 1, 1), (33, 20, 1, 2), (1, 8, 4, 8),
                                   (1, 1028, 1, 3)],
                         ids=str)
def test_output_and_gradients(kernel_xp, shape):
    assert_as_chainercvs(kernel_xp, random_array(kernel_xp, shape))


def test_float16_sums_in_float32(kernel_xp):
    x = 200 * abs(random_array(kernel_xp, (1, 32, 2, 3), np.float16))  # squares are beyond float16
    assert_as_chainercvs(kernel_xp, x, tolerance=2e-3)


def test_channels_innermost_in_memory_stay_there(kernel_xp):
    x = random_array(kernel_xp, (2, 5, 7, 12)).transpose(0, 3, 1, 2)
    y, gx, _ = assert_as_chainercvs(kernel_xp, x)
    assert y.transpose(0, 2, 3, 1).flags.c_contiguous
    assert gx.transpose(0, 2, 3, 1).flags.c_contiguous


def test_views_are_read_as_they_are(kernel_xp):
    y, gx, _ = assert_as_chainercvs(kernel_xp, random_array(kernel_xp, (2, 24, 6, 8))[:, ::2, ::2])
    assert y.flags.c_contiguous and gx.flags.c_contiguous


def test_a_pixel_without_length_is_as_chainercvs(kernel_xp):
    x = random_array(kernel_xp, (1, 5, 2, 2))
    x[..., 1, 1] = 0
    y, *_ = assert_as_chainercvs(kernel_xp, x)
    assert (y[..., 1, 1] == 0).all()
