"""VGG16, SSD300 and SSD512 against ChainerCV's, with the same weights."""
from multibox import engines
from multibox.networks import make_detector, vgg

import chainer
import chainer.functions as F
import chainercv.links.model.ssd.ssd_vgg16 as chainercvs
import numpy as np
import pytest
from chainer.backends import cuda


def random_array(*shape):
    return np.random.default_rng(0).standard_normal(shape).astype('f')


def with_equal_weights(network, other, x):
    """A network and ChainerCV's counterpart ``other``, with the weights of the latter."""
    np.random.seed(0)
    with chainer.no_backprop_mode():
        other(x)  # the first call gives the weights their shapes
    network.copyparams(other)
    return network, other


def results(network, x):
    """Feature maps, and the gradients of the weights of the first and of a middle convolution."""
    network.cleargrads()
    ys = network(x)
    sum(F.sum(y[:, ::3] ** 2) for y in ys).backward()
    return [cuda.to_cpu(array) for array in (
        *(y.array for y in ys), *(network[name].W.grad for name in ('conv1_1', 'conv3_3')))]


def to_device(xp, network):
    network.to_device('@numpy' if xp is np else '@cupy:0')
    return network


def assert_vgg16_is_chainercvs(xp):
    x = random_array(1, 3, 17, 17)
    network, other = with_equal_weights(vgg.VGG16(), chainercvs.VGG16(), x)
    for one, theirs in zip(results(to_device(xp, network), xp.asarray(x)), results(other, x),
                           strict=True):
        np.testing.assert_allclose(one, theirs, rtol=1e-3, atol=1e-4 * abs(theirs).max())


def test_vgg16_is_chainercvs(xp):
    assert_vgg16_is_chainercvs(xp)


@pytest.mark.slow
def test_vgg16_by_all_kernels_is_chainercvs(kernel_xp):
    assert_vgg16_is_chainercvs(kernel_xp)


@pytest.mark.parametrize('make, other, grid', [
    (vgg.Extractor300, chainercvs.VGG16Extractor300, 19),
    (vgg.Extractor512, chainercvs.VGG16Extractor512, 32)])
def test_extractors_are_chainercvs(kernel_xp, monkeypatch, make, other, grid):
    for network in vgg.VGG16, chainercvs.VGG16:
        monkeypatch.setattr(network, 'forward', lambda network, x: [x, x])
    x = random_array(1, 1024, grid, grid)
    network, other = with_equal_weights(make(), other(), x)
    expected = other(x)
    actual = to_device(kernel_xp, network)(kernel_xp.asarray(x))
    assert len(actual) == len(network.grids)
    for one, theirs in zip(actual[2:], expected[2:], strict=True):
        np.testing.assert_allclose(cuda.to_cpu(one.array), theirs.array, rtol=1e-3, atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize('name, theirs', [
    ('ssd300', chainercvs.SSD300),
    pytest.param('ssd512', chainercvs.SSD512, marks=pytest.mark.slow)])
def test_with_chainers_engine_outputs_are_chainercvs_to_the_bit(name, theirs):
    network = make_detector(name, 3)
    x = random_array(1, 3, network.insize, network.insize)
    network, other = with_equal_weights(network, theirs(n_fg_class=3), x)
    with engines.using('chainer'), chainer.no_backprop_mode(), chainer.using_config('train', False):
        for one, expected in zip(network(x), other(x), strict=True):
            np.testing.assert_array_equal(one.array, expected.array)


@pytest.mark.parametrize('name, theirs', [('ssd300', chainercvs.SSD300),
                                          ('ssd512', chainercvs.SSD512)])
def test_weights_have_chainercvs_names(name, theirs):
    ours, others = make_detector(name, 3), theirs(n_fg_class=3)
    assert {path for path, _ in ours.namedparams()} == {path for path, _ in others.namedparams()}


def test_hooks_of_a_convolution_are_called(kernel_xp):
    calls = []
    hook = chainer.LinkHook()
    hook.forward_preprocess = lambda args: calls.append(args.link.name)
    network = vgg.VGG16()
    network.conv6.add_hook(hook, name='hook')
    with chainer.no_backprop_mode():
        to_device(kernel_xp, network)(kernel_xp.asarray(random_array(1, 3, 32, 32)))
    assert calls == ['conv6']


def test_under_chainers_engine_functions_are_chainers():
    with engines.using('chainer'):
        maps = vgg.VGG16()(random_array(1, 3, 32, 32))
    # ONNX-Chainer can export this function.
    assert type(maps[-1].creator) is chainer.functions.activation.relu.ReLU
