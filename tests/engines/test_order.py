"""The memory order of feature maps between convolutions on a GPU."""
import math

from multibox.engines import kernels, layout, order
from tests.support import fake_cudnn

import chainer
import chainer.functions as F
import numpy as np
import pytest
from chainer.backends import cuda

X, GY = (np.random.default_rng(seed).standard_normal((2, 5, 4, 3)).astype('f').transpose(0, 3, 1, 2)
         for seed in range(2))  # (2, 3, 5, 4), channels innermost


@pytest.fixture
def pretended(monkeypatch):
    fake_cudnn.pretend(monkeypatch)


def is_innermost(x):
    return x.transpose(0, 2, 3, 1).flags.c_contiguous


def send(xp, x):
    """The array on the device of the module ``xp``, in the same memory order."""
    in_order, back = layout.memory_order(x)
    return back(xp.asarray(in_order(x)))


def test_other_orders_shapes_and_numpy_arrays_are_left_alone(pretended, monkeypatch):
    assert order.keeps_order(X)
    assert not order.keeps_order(np.ascontiguousarray(X))
    assert not order.keeps_order(X[:, 0])
    assert not order.keeps_order(X[:, :, ::2])
    monkeypatch.setattr(kernels, 'is_on_gpu', lambda x: isinstance(x, cuda.ndarray))
    assert not order.keeps_order(X)


def test_a_function_computes_on_contiguous_pixels_and_returns_maps(pretended):
    forward = order._element_wise(lambda node, inputs: (np.add(*inputs, order='C'),))
    y, = forward(None, (X, GY))
    np.testing.assert_array_equal(y, X + GY)
    assert is_innermost(y)
    y, = forward(None, (X, np.ascontiguousarray(GY)))
    np.testing.assert_array_equal(y, X + GY)
    assert not is_innermost(y)


@pytest.mark.parametrize('gy', [GY, np.ascontiguousarray(GY)], ids=['same order', 'other order'])
def test_the_gradient_of_relu_is_in_the_order_of_its_output(kernel_xp, gy):
    gx, gb = order.relu_gradient(send(kernel_xp, X), chainer.Variable(send(kernel_xp, gy)),
                                 math.inf, np.float32)
    np.testing.assert_array_equal(cuda.to_cpu(gx.array), GY * (X > 0))
    np.testing.assert_allclose(cuda.to_cpu(gb.array), (GY * (X > 0)).sum(axis=(0, 2, 3)), rtol=1e-5)
    assert is_innermost(gx.array)


@pytest.mark.parametrize('ceiling', [math.inf, 1.])
def test_the_gradient_of_relu_and_bias_has_the_derivative_of_two_functions(kernel_xp, ceiling):
    x, gy, ggx, ggb = (chainer.Variable(send(kernel_xp, array)) for array in (
        X, GY, GY - 1, np.arange(3, dtype='f')))
    inputs = [gy, ggx, ggb]

    def derivatives(gx, gb):
        return [cuda.to_cpu(g.array) for g in chainer.grad([gx * ggx, gb * ggb], inputs)]
    passed = gy * ((x.array > 0) & (x.array < ceiling))
    expected = derivatives(passed, F.sum(passed, axis=(0, 2, 3)))
    actual = derivatives(*order.relu_gradient(x.array, gy, ceiling, np.float32))
    for one, other in zip(actual, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize('options', [{'axis': (0, 2, 3)}, {'axis': (0, 2, 3), 'keepdims': True},
                                     {'axis': 1}, {}], ids=str)
def test_sums_are_chainers(use, pretended, options):
    expected = F.sum(X, **options).array
    use('cudnn')
    total = F.sum(X, **options).array
    assert total.shape == expected.shape
    np.testing.assert_allclose(total, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.gpu
@pytest.mark.parametrize('dtype', [np.float16, np.float32])
def test_on_a_gpu_relu_addition_and_gradients_keep_the_order_and_are_chainers(use, dtype):
    if not cuda.available:
        pytest.skip('CuPy finds no GPU')

    def results(x, gy):
        x = chainer.Variable(x)
        h = F.relu(x)
        y = h + h + x
        gx, = chainer.grad([y], [x], [chainer.Variable(gy)])
        return h.array, y.array, gx.array, F.sum(x, axis=(0, 2, 3)).array
    arrays = [np.ascontiguousarray(a.transpose(0, 2, 3, 1)).astype(dtype) for a in (X, GY)]
    expected = results(*(a.transpose(0, 3, 1, 2) for a in arrays))
    use('blas')
    actual = results(*(cuda.to_gpu(a).transpose(0, 3, 1, 2) for a in arrays))
    for ours, chainers in zip(actual, expected, strict=True):
        np.testing.assert_allclose(cuda.to_cpu(ours), chainers, rtol=2e-3, atol=2e-3)
    assert all(map(is_innermost, actual[:3]))
