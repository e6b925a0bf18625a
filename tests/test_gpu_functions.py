"""Chainer's and ChainerCV's functions with the kernels behind them, against their own."""
import contextlib

from multibox.gpu import functions, momentum_sgd
from multibox.training import make_optimizer

import chainer
import chainer.functions as F
import numpy as np
import pytest
from chainer.backends import cuda
from chainer.functions.pooling.max_pooling_nd import MaxPoolingND, MaxPoolingNDGrad
from chainercv.links.model.ssd import Normalize
from chainercv.links.model.ssd.ssd_vgg16 import VGG16, VGG16Extractor300, VGG16Extractor512

CHAINERS = MaxPoolingND.forward_cpu, MaxPoolingNDGrad.forward_cpu


@pytest.fixture
def device_xp(kernel_xp, monkeypatch):
    """With the kernels installed; where they run on this CPU, NumPy arrays count as a GPU's."""
    functions.install()
    if kernel_xp is np:
        for node in MaxPoolingND, MaxPoolingNDGrad:
            monkeypatch.setattr(node, 'forward_cpu', node.forward_gpu)
    yield kernel_xp
    functions.uninstall()


@contextlib.contextmanager
def chainers_own():
    functions.uninstall()
    with pytest.MonkeyPatch.context() as undo:
        for node, forward_cpu in zip((MaxPoolingND, MaxPoolingNDGrad), CHAINERS):
            undo.setattr(node, 'forward_cpu', forward_cpu)
        yield
    functions.install()


def draw(*shape):
    return np.random.default_rng(0).standard_normal(shape).astype('f')


def derivatives(x, **options):
    """Max pooling, its gradient, and the gradient of that."""
    x = chainer.Variable(x)
    y = F.max_pooling_2d(x, **options)
    gx, = chainer.grad([y], [x], [y * y], enable_double_backprop=True)
    ggx, = chainer.grad([gx], [x], [gx])
    return [cuda.to_cpu(variable.array) for variable in (y, gx, ggx)]


@pytest.mark.parametrize('options', [{'ksize': 2}, {'ksize': 3, 'stride': 1, 'pad': 1}], ids=str)
def test_max_pooling_is_chainers(device_xp, options):
    actual = derivatives(device_xp.asarray(draw(2, 3, 7, 6)), **options)
    with chainers_own():
        expected = derivatives(draw(2, 3, 7, 6), **options)
    for one, other in zip(actual, expected):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)


def test_maxima_are_remembered_in_bytes(device_xp):
    y = F.max_pooling_2d(chainer.Variable(device_xp.asarray(draw(2, 3, 7, 6))), 2)
    assert y.creator.indexes.dtype == np.uint8


@pytest.mark.parametrize('x, options', [
    (draw(1, 1, 4, 4).astype(float), {}), (draw(1, 1, 17, 17), {'ksize': 17}),
    (draw(1, 1, 4, 4, 4), {}), (draw(1, 1, 4, 4), {'return_indices': True})],
    ids=['float64', '17 x 17', '3-D', 'indices'])
def test_what_kernels_do_not_cover_is_chainers(device_xp, monkeypatch, x, options):
    def fail(*_):
        raise AssertionError('a kernel was launched')
    monkeypatch.setattr(functions.pooling, 'max_pool', fail)
    if device_xp is np:
        monkeypatch.setitem(functions._CHAINERS, (MaxPoolingND, 'forward_gpu'), CHAINERS[0])
    y = F.max_pooling_nd(device_xp.asarray(x), **{'ksize': 2, **options})
    assert (y[0] if 'return_indices' in options else y).array.max() == x.max()


def test_normalize_is_a_kernel(device_xp):
    link = Normalize(3, initial=chainer.initializers.Constant(20))
    link.to_device('@numpy' if device_xp is np else '@cupy:0')
    y = link(device_xp.asarray(draw(2, 3, 4, 5)))
    assert y.creator.label == 'L2Normalize'
    lengths = np.sqrt((cuda.to_cpu(y.array) ** 2).sum(axis=1))
    np.testing.assert_allclose(lengths, 20, rtol=1e-4)


def vgg16(network, x):
    network.cleargrads()
    ys = network(x)
    sum(F.sum(y[:, ::3] ** 2) for y in ys).backward()
    return [cuda.to_cpu(array) for array in (
        *(y.array for y in ys), *(network[name].W.grad for name in ('conv1_1', 'conv3_3')))]


def test_vgg16_is_chainercvs(device_xp):
    np.random.seed(0)
    network, x = VGG16(), draw(1, 3, 32, 32)
    with chainers_own():
        expected = vgg16(network, x)
    network.to_device('@numpy' if device_xp is np else '@cupy:0')
    for one, other in zip(vgg16(network, device_xp.asarray(x)), expected):
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-4 * abs(other).max())


@pytest.mark.parametrize('make, grid', [(VGG16Extractor300, 19), (VGG16Extractor512, 32)])
def test_extractors_are_chainercvs(device_xp, monkeypatch, make, grid):
    chainercvs = functions._CHAINERS[make, 'forward']
    monkeypatch.setattr(VGG16, 'forward', lambda network, x: [x, x])
    network, x = make(), draw(1, 8, grid, grid)
    expected = chainercvs(network, x)
    network.to_device('@numpy' if device_xp is np else '@cupy:0')
    actual = network(device_xp.asarray(x))
    assert len(actual) == len(network.grids)
    for one, other in zip(actual[2:], expected[2:], strict=True):
        np.testing.assert_allclose(cuda.to_cpu(one.array), other.array, rtol=1e-3, atol=1e-4)


def test_hooks_of_a_convolution_are_called(device_xp):
    calls = []
    hook = chainer.LinkHook()
    hook.forward_preprocess = lambda args: calls.append(args.link.name)
    network = VGG16()
    network.conv6.add_hook(hook, name='hook')
    network.to_device('@numpy' if device_xp is np else '@cupy:0')
    with chainer.no_backprop_mode():
        network(device_xp.asarray(draw(1, 3, 32, 32)))
    assert calls == ['conv6']


def test_an_optimizer_updates_by_one_kernel_a_kind(device_xp, monkeypatch):
    updated = []
    monkeypatch.setattr(momentum_sgd, '_launch', lambda *args: updated.append(len(args[2])))
    net = chainer.links.Linear(2, 3)
    net.to_device('@numpy' if device_xp is np else '@cupy:0')
    optimizer = make_optimizer('momentum_sgd', net, .1, .05)
    optimizer.loss_scaling(scale=8)
    net.b.grad = device_xp.ones_like(net.b.array)  # of an iteration before
    optimizer.update(lambda x: F.sum(net(x)), device_xp.asarray(draw(4, 2)))
    assert updated == [1, 1]
    assert (net.b.grad == 8 * 4).all()


@pytest.mark.parametrize('gradient', [1., np.inf])
def test_what_is_not_finite_halves_the_scale_and_updates_nothing(device_xp, gradient):
    net = chainer.links.Linear(2, 3)
    net.to_device('@numpy' if device_xp is np else '@cupy:0')
    optimizer = make_optimizer('momentum_sgd', net, .1, .05)
    optimizer.loss_scaling()
    optimizer._loss_scale = 4.
    before = net.W.array.copy()
    for parameter in net.params():
        parameter.grad = device_xp.full_like(parameter.array, gradient)
    optimizer.update()
    assert optimizer._loss_scale == (8 if gradient == 1 else 2)
    assert (net.W.array == before).all() == (gradient != 1)


def test_numpy_arrays_stay_chainers():
    functions.install()
    link, x = Normalize(3), draw(2, 3, 4, 5)
    y, maps = link(x), VGG16()(draw(1, 3, 32, 32))
    functions.uninstall()
    np.testing.assert_array_equal(y.array, link(x).array)
    assert y.creator.label != 'L2Normalize'
    assert maps[-1].creator.label == 'ReLU'  # which can be exported to ONNX
