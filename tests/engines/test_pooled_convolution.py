"""A convolution, max pooling and ReLU as one function, against Chainer's functions."""
from multibox.engines import kernels, pooled_convolution_2d
from multibox.engines.convolution import graphs
from tests.support import fake_cudnn
from tests.support.convolutions import CUDNN_TOLERANCE as TOLERANCE
from tests.support.convolutions import draw, outputs

import chainer
import chainer.functions as F
import numpy as np
import pytest
from chainer.backends import cuda

ARRAYS = draw((2, 3, 9, 7), (4, 3, 3, 3), 4)


def fused(*arrays):
    return pooled_convolution_2d(*arrays, ksize=2, pad=1)


def separate(*arrays):
    return F.relu(F.max_pooling_2d(F.convolution_2d(*arrays, pad=1), 2))


@pytest.fixture
def launched(kernel_xp, use, monkeypatch):
    """The list of the launched kernels' names. NumPy arrays count as arrays on a GPU."""
    if kernel_xp is not np:
        pytest.skip('the stand-in for cuDNN computes on NumPy arrays')
    launched, launch = [], kernels.launch
    monkeypatch.setattr(kernels, 'launch', lambda *args: launched.append(args[1]) or launch(*args))
    fake_cudnn.pretend(monkeypatch)
    use('cudnn')
    return launched


def test_kernels_compute_the_pooling_and_the_gradients(launched, use):
    actual = outputs(fused, ARRAYS)
    use('chainer')
    for ours, theirs in zip(actual, outputs(separate, ARRAYS), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-4)
    assert launched == [
        'max_pool<float, 4, true, 2, 2, 2, 2>', 'rectify<float, 4, true, false, true>',
        'add_rows<float>', 'max_pool_gradient<float, 4, 2, 2, 2, 2>']


def test_second_derivatives_are_chainers(launched, use):
    def derivatives(function):
        variables = list(map(chainer.Variable, ARRAYS))
        y = function(*variables)
        gradients = chainer.grad([y], variables, [y * y], enable_double_backprop=True)
        return [g.array for g in chainer.grad(gradients, variables, gradients)]
    actual = derivatives(fused)
    use('chainer')
    for ours, theirs in zip(actual, derivatives(separate), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=1e-3 * abs(theirs).max())


@pytest.mark.parametrize('engine', ['blas', 'chainer'])
def test_a_cpu_computes_one_function_after_the_other(use, engine):
    use(engine)
    for ours, theirs in zip(outputs(fused, ARRAYS), outputs(separate, ARRAYS), strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.gpu
@pytest.mark.parametrize('dtype', ['float32', 'float16'])
def test_on_a_gpu_results_and_gradients_are_chainers(use, dtype):
    missing = graphs.missing()
    if missing:
        pytest.skip(missing)
    arrays = draw((2, 16, 19, 18), (32, 16, 3, 3), 32)
    use('cudnn')
    variables = [chainer.Variable(cuda.to_gpu(array.astype(dtype))) for array in arrays]
    y = fused(*variables)
    gy = chainer.Variable(y.xp.ones_like(y.array))
    results = [cuda.to_cpu(each.array) for each in (y, *chainer.grad([y], variables, [gy]))]
    exact = separate(*(array.astype(float) for array in arrays)).array
    tolerance = TOLERANCE[dtype]
    assert abs(results[0] - exact).max() <= tolerance * abs(exact).max()
    positive = (results[0] > 0).sum(axis=(0, 2, 3))  # the gradient of each window is 1
    np.testing.assert_allclose(results[3], positive, rtol=tolerance)
