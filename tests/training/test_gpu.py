"""Training in 16 bits through all kernels together, against Chainer's own code."""
import collections

from multibox import engines
from multibox.engines import kernels, max_pooling_2d, relu
from multibox.engines.convolution import graphs
from multibox.networks.layers import Convolution2D, L2Normalization
from multibox.training import TrainChain, halve, make_optimizer
from tests.support import fake_cudnn

import chainer
import chainer.functions as F
import chainer.links as L
import numpy as np
import pytest
from chainer.backends import cuda


class Network(chainer.Chain):
    """A network of 16 boxes and 3 classes with all kinds of parameters."""

    def __init__(self):
        super().__init__()
        with self.init_scope():
            self.conv = Convolution2D(3, 8, 3, pad=1, nobias=True)
            self.bn = L.BatchNormalization(8)
            self.norm = L2Normalization(8, initial=chainer.initializers.Constant(4))
            self.locs, self.confs = Convolution2D(8, 4, 1), Convolution2D(8, 3, 1)

    def forward(self, x):
        h = self.bn(self.conv(F.cast(x, self.conv.W.dtype)))
        h = self.norm(max_pooling_2d(relu(h), 2))
        return tuple(F.cast(F.reshape(F.transpose(head(h), (0, 2, 3, 1)), (len(x), 16, -1)), 'f')
                     for head in (self.locs, self.confs))


def train(device, precision='float16', scales=(64., 1e9, 64., 128.)):
    """Update a network as often as there are scales of the loss. With 1e9 float16 overflows.

    Returns the parameters in float32 and their momenta by name, the scale of the loss after each
    update, the optimizer's count of updates, and the set of the parameters' counts.
    """
    np.random.seed(0)
    network, rng = Network(), np.random.default_rng(0)
    if precision != 'float32':
        halve(network, precision)
    chain = TrainChain(network)
    chain.to_device(device)
    optimizer = make_optimizer('momentum_sgd', chain, .05, .1)
    batch = [chain.device.send(array) for array in (
        rng.standard_normal((2, 3, 8, 8)).astype('f'), rng.standard_normal((2, 16, 4)).astype('f'),
        rng.integers(0, 3, (2, 16)).astype('i'))]
    after = []
    for scale in scales:
        optimizer._loss_scale = scale
        optimizer.update(chain, *batch)
        after.append(optimizer._loss_scale)
    arrays = {}
    for name, parameter in chain.namedparams():
        rule = parameter.update_rule
        assert (rule._fp32_param is not None) == (parameter.dtype != np.float32)
        master = parameter if rule._fp32_param is None else rule._fp32_param
        np.testing.assert_array_equal(
            cuda.to_cpu(master.array).astype(parameter.dtype), cuda.to_cpu(parameter.array))
        arrays[name], arrays[f'{name}/v'] = (
            cuda.to_cpu(array) for array in (master.array, rule.state['v']))
    return arrays, after, optimizer.t, {each.update_rule.t for each in chain.params()}


@pytest.fixture
def launched(kernel_xp, monkeypatch):
    """The list of the launched kernels' names. NumPy arrays count as arrays on a GPU."""
    launched, launch = [], kernels.launch
    monkeypatch.setattr(kernels, 'launch', lambda *args: launched.append(args[1]) or launch(*args))
    if kernel_xp is np:
        fake_cudnn.pretend(monkeypatch)
    return launched


@pytest.mark.slow
@pytest.mark.filterwarnings('ignore:overflow', 'ignore:invalid', 'ignore:Non finite')
def test_updates_in_float16_are_chainers(kernel_xp, launched):
    with pytest.MonkeyPatch.context() as on_cpu, engines.using('chainer'):
        on_cpu.setattr(kernels, 'is_on_gpu', lambda array: False)
        expected, *counts = train('@numpy')
    del launched[:]
    with engines.using('cudnn' if kernel_xp is np else engines.fastest(gpu=True)):
        actual, *others = train('@numpy' if kernel_xp is np else '@cupy:0')
    assert others == counts == [[128., 65504, 64. * 2 ** .001, 128. * 2 ** .001], 4, {3}]
    assert {name.partition('<')[0] for name in launched} >= {
        'max_pool', 'max_pool_gradient', 'normalize', 'normalize_gradient', 'update', 'gradients',
        'rectify', 'add'}
    for name, array in expected.items():
        np.testing.assert_allclose(actual[name], array, rtol=.02, atol=.02 * abs(array).max(),
                                   err_msg=name)


def train_in_bfloat16(xp, n_update):
    pytest.importorskip('ml_dtypes')
    if xp is not np and graphs.missing():
        pytest.skip(graphs.missing())
    with engines.using('cudnn'):
        return train('@numpy' if xp is np else '@cupy:0', 'bfloat16', [None] * n_update)


@pytest.mark.slow
def test_updates_in_bfloat16_are_those_of_float32_but_for_rounding(kernel_xp, launched):
    actual, *counts = train_in_bfloat16(kernel_xp, 4)
    with pytest.MonkeyPatch.context() as on_cpu, engines.using('chainer'):
        on_cpu.setattr(kernels, 'is_on_gpu', lambda array: False)
        expected, *others = train('@numpy', 'float32', [None] * 4)
    assert counts == others == [[None] * 4, 4, {4}]  # the loss is not scaled
    for name, array in expected.items():
        np.testing.assert_allclose(actual[name], array, rtol=.02, atol=.02 * abs(array).max(),
                                   err_msg=name)


class Types(chainer.FunctionHook):
    """A hook that counts the calls of each function, and notes the types of the arrays it takes."""

    def __init__(self):
        self.calls, self.taken = collections.Counter(), collections.defaultdict(set)

    def forward_preprocess(self, function, in_data):
        name = type(function).__name__
        self.calls[name] += 1
        self.taken[name] |= {array.dtype.name for array in in_data}


@pytest.mark.slow
def test_between_images_and_outputs_all_arrays_are_bfloat16(kernel_xp, launched):
    with Types() as types:
        train_in_bfloat16(kernel_xp, 1)
    assert types.calls['Cast'] == 1 + 2 + 2  # images, outputs, and gradients of outputs
    for name in ('Convolution', 'InputGradient', 'WeightGradient', 'OrderedSum', 'OrderedReLU',
                 'ReLUGradient', 'MaxPooling', 'MaxPoolingGradient', 'L2Normalize'):
        assert 'float32' not in types.taken[name]
    assert {name.partition(',')[0].rstrip('>') for name in launched} >= {
        f'{name}<__nv_bfloat16' for name in (
            'max_pool', 'max_pool_gradient', 'normalize', 'normalize_gradient', 'update')}
    assert not any(name.startswith('find_nonfinite') for name in launched)
