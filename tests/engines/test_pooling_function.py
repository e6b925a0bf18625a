"""Max pooling as a function: the kernels behind it, and Chainer's code where they do not apply."""
from multibox import engines
from multibox.engines import kernels, max_pooling_2d
from multibox.engines.pooling import function, gpu

import chainer
import chainer.functions as F
import numpy as np
import pytest
from chainer.backends import cuda
from chainer.functions.pooling.max_pooling_nd import MaxPoolingND


@pytest.fixture
def device_xp(kernel_xp, monkeypatch):
    """The array module of ``kernel_xp``. NumPy arrays count as arrays on a GPU."""
    if kernel_xp is np:
        pool = function._pool(MaxPoolingND.forward_cpu, gpu, kernels.takes)
        monkeypatch.setattr(function.MaxPooling, 'forward_cpu', pool)
        monkeypatch.setattr(function.MaxPoolingGradient, 'forward_cpu',
                            function.MaxPoolingGradient.forward_gpu)
    return kernel_xp


def random_array(*shape):
    return np.random.default_rng(0).standard_normal(shape).astype('f')


def derivatives(pool, x, **options):
    """Max pooling, its gradient, and the gradient of the gradient."""
    x = chainer.Variable(x)
    y = pool(x, **options)
    gx, = chainer.grad([y], [x], [y * y], enable_double_backprop=True)
    ggx, = chainer.grad([gx], [x], [gx])
    return [cuda.to_cpu(variable.array) for variable in (y, gx, ggx)]


@pytest.mark.parametrize('options', [{'ksize': 2}, {'ksize': 3, 'stride': 1, 'pad': 1}], ids=str)
def test_max_pooling_is_chainers(device_xp, options):
    actual = derivatives(max_pooling_2d, device_xp.asarray(random_array(2, 3, 7, 6)), **options)
    expected = derivatives(F.max_pooling_2d, random_array(2, 3, 7, 6), **options)
    for one, other in zip(actual, expected):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize('options', [{'ksize': 2}, {'ksize': 3, 'stride': 1, 'pad': 1}], ids=str)
def test_max_pooling_with_relu_is_two_functions_of_chainer(device_xp, options):
    x = random_array(2, 3, 7, 6) - 1  # some windows have no positive number
    actual = derivatives(max_pooling_2d, device_xp.asarray(x), relu=True, **options)
    expected = derivatives(lambda x: F.relu(F.max_pooling_2d(x, **options)), x)
    assert (expected[0] == 0).any()
    for one, other in zip(actual, expected):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)


def test_max_pooling_with_relu_on_a_cpu_is_two_functions_to_the_bit():
    expected = derivatives(lambda x: engines.relu(max_pooling_2d(x, 2)), random_array(2, 3, 7, 6))
    actual = derivatives(max_pooling_2d, random_array(2, 3, 7, 6), ksize=2, relu=True)
    for one, other in zip(actual, expected):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize('engine', ['blas', 'chainer'])
def test_max_pooling_on_a_cpu_is_chainers(engine):
    options = {'ksize': 3, 'stride': 2, 'pad': 1}
    expected = derivatives(F.max_pooling_2d, random_array(2, 3, 7, 6), **options)
    with engines.using(engine):
        actual = derivatives(max_pooling_2d, random_array(2, 3, 7, 6), **options)
    for one, other in zip(actual, expected):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)


def test_positions_of_maxima_are_stored_in_bytes(device_xp):
    y = max_pooling_2d(chainer.Variable(device_xp.asarray(random_array(2, 3, 7, 6))), 2)
    assert y.creator.indexes.dtype == np.uint8


@pytest.mark.parametrize('x, options', [
    (random_array(1, 1, 4, 4).astype(float), {}), (random_array(1, 1, 17, 17), {'ksize': 17}),
    (random_array(1, 1, 4, 4, 4), {}), (random_array(1, 1, 4, 4), {'return_indices': True})],
    ids=['float64', '17 x 17', '3-D', 'indices'])
def test_calls_that_kernels_do_not_cover_are_chainers(device_xp, monkeypatch, x, options):
    def fail(*_):
        raise AssertionError('a kernel was launched')
    monkeypatch.setattr(gpu, 'max_pool', fail)
    node = function.MaxPooling(x.ndim - 2, **{'ksize': 2, **options})
    y, = node.apply((device_xp.asarray(x),))
    assert y.array.max() == x.max()
