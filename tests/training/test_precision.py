"""Training in 16 bits with float32 master weights and a scaled loss. Resuming restores both."""
import json
import os
import types
from unittest import mock

import evaluate
import train
from multibox import engines
from multibox.engines import PRECISIONS, program, set_up
from multibox.engines.convolution import graphs
from multibox.errors import UserError
from multibox.networks import make_detector
from multibox.processes import as_processes
from multibox.training import OPTIMIZERS, halve, make_multi_node, make_optimizer
from multibox.weights import load_model

import chainer
import chainer.functions as F
import chainer.links as L
import numpy as np
import pytest
from chainer.serializers import DictionarySerializer, NpzDeserializer

GPU = types.SimpleNamespace(xp=None)
FAST = ['--model', 'slim300', '--batchsize', '2', '--loader-processes', '0', '--log-interval', '1',
        '--snapshot-interval', '1', '--eval-interval', '4', '--cuts']


@pytest.fixture
def on_cpu(monkeypatch):
    """Let train.py use float16 on a CPU. Products are in float32, which is faster."""
    tensordot = np.tensordot
    monkeypatch.setattr(np, 'tensordot', lambda a, b, axes: tensordot(
        a.astype('f', copy=False), b.astype('f', copy=False), axes))
    set_up = train.engines.set_up
    monkeypatch.setattr(train.engines, 'set_up',
                        lambda device, conv, precision, **more: set_up(device, conv, **more))


@pytest.mark.parametrize('name', PRECISIONS[1:])
def test_a_cpu_is_refused(name, tmp_path):
    with pytest.raises(UserError, match=f'--precision {name} is for GPUs.*--conv onednn-bf16'):
        train.main(['--precision', name, '--out', str(tmp_path)])


@pytest.mark.parametrize('name', PRECISIONS)
def test_products_in_tf32_are_a_choice(name, monkeypatch):
    monkeypatch.setenv('CUPY_TF32', 'as before')
    for other in 'keep_freed_memory', 'use_cores', 'choice':
        monkeypatch.setattr(program, other, mock.MagicMock())
    set_up(GPU, precision=name)
    assert os.environ['CUPY_TF32'] == ('1' if name == 'tf32' else '0')


@pytest.mark.parametrize('name, tolerance', [('float16', .01), ('bfloat16', .04)])
def test_a_network_in_16_bits_predicts_as_in_float32(on_cpu, name, tolerance):
    if name == 'bfloat16':
        pytest.importorskip('ml_dtypes')
    np.random.seed(0)
    model = make_detector('slim300', 3)
    imgs = np.random.uniform(-100, 100, (2, 3, 300, 300)).astype('f')
    with chainer.using_config('train', False), chainer.no_backprop_mode():
        before = model(imgs)
        halve(model, name)
        after = model(imgs)
    for one, other in zip(before, after):
        assert other.dtype == np.float32
        np.testing.assert_allclose(other.array, one.array, atol=tolerance * abs(one.array).max())
    assert {parameter.dtype.name for parameter in model.params()
            if parameter.name not in ('gamma', 'beta')} == {name}
    assert model.extractor.stem.bn.gamma.dtype == np.float32


class Weights(chainer.Chain):
    """Two links of one weight and one bias, the first link in 16 bits. All parameters are 1.

    The argument of ``forward`` is the gradient of every parameter.
    """

    def __init__(self, dtype=np.float16):
        super().__init__()
        with self.init_scope():
            self.half, self.single = (L.Linear(1, 1, initialW=1., initial_bias=1.)
                                      for _ in range(2))
        for parameter in self.half.params():
            parameter.array = parameter.array.astype(dtype)

    def forward(self, gradient):
        return sum(F.sum(F.cast(parameter, 'f') * gradient) for parameter in self.params())

    def values(self):
        return np.array([parameter.array.item() for parameter in self.params()])


def test_gradients_that_overflow_leave_all_as_it_was():
    chain = Weights()
    optimizer = make_optimizer('momentum_sgd', chain, .1, .1)
    optimizer.update(chain, 1.)
    before, momentum = chain.values(), chain.half.W.update_rule.state['v'].copy()
    optimizer._loss_scale = 1024.
    optimizer.update(chain, 100.)  # 102400 is beyond float16, but not beyond float32
    np.testing.assert_array_equal(chain.values(), before)
    np.testing.assert_array_equal(chain.half.W.update_rule.state['v'], momentum)
    assert optimizer._loss_scale == 512
    optimizer.update(chain, 100.)
    assert (chain.values() < before).all() and 512 < optimizer._loss_scale < 513


def test_a_scale_that_was_too_large_is_known_when_resumed():
    optimizers = [make_optimizer('momentum_sgd', Weights(), .1, .1) for _ in range(2)]
    optimizers[0]._loss_scale = 1024.
    optimizers[0].update(optimizers[0].target, 100.)
    state = DictionarySerializer()
    optimizers[0].serialize(state)
    optimizers[1].serialize(NpzDeserializer(state.target, strict=False))  # there is no momentum yet
    optimizers[1].update(optimizers[1].target, 1.)
    assert 512 < optimizers[1]._loss_scale < 513


def test_the_scale_doubles_until_it_is_too_large():
    chain = Weights()
    optimizer = make_optimizer('momentum_sgd', chain, 0., 0.)
    for _ in range(4):
        optimizer.update(chain, 1.)
    assert optimizer._loss_scale == 16


@pytest.mark.parametrize('scale', [1., 4096.])
def test_decay_and_bias_scale_do_not_depend_on_the_scale_of_the_loss(scale):
    chain = Weights()
    optimizer = make_optimizer('momentum_sgd', chain, .125, .5, bias_scale=2.)
    optimizer._loss_scale = scale
    optimizer.update(chain, 1.)
    weight, bias = 1 - .125 * (1 + .5), 1 - .125 * 2
    for link in (chain.half, chain.single):
        assert (link.W.array.item(), link.b.array.item()) == (weight, bias)


def test_gradients_too_small_for_float16_arrive():
    chain = Weights()
    optimizer = make_optimizer('momentum_sgd', chain, 1e6, 0.)
    optimizer._loss_scale = 4096.
    optimizer.update(chain, 1e-8)  # float16's least positive number is 6e-8
    np.testing.assert_allclose(1 - chain.half.W.array, .01, rtol=.03)


def test_steps_too_small_for_float16_add_up():
    chain = Weights()
    optimizer = make_optimizer('momentum_sgd', chain, 1e-4, 0., momentum=0.)
    for _ in range(100):
        optimizer.update(chain, 1.)
        optimizer.serialize(DictionarySerializer())  # saving changes nothing
    assert chain.half.W.array.item() == pytest.approx(.99, abs=5e-4)


@pytest.fixture
def bfloat16():
    pytest.importorskip('ml_dtypes')
    return engines.bfloat16.dtype()


@pytest.mark.parametrize('name', OPTIMIZERS)
def test_updates_of_bfloat16_are_those_of_float32_and_the_loss_is_not_scaled(bfloat16, name):
    chain = Weights(bfloat16)
    optimizer = make_optimizer(name, chain, 1e-4, .1)
    for _ in range(100):  # a step of 1e-4 is too small for bfloat16
        optimizer.update(chain, 1.)
        optimizer.serialize(DictionarySerializer())  # saving changes nothing
    for half, single in zip(chain.half.params(), chain.single.params()):
        assert half.dtype == bfloat16 and half.update_rule.t == 100
        assert half.update_rule._fp32_param.array == single.array < .995
        assert half.array == single.array.astype(bfloat16)
    assert optimizer._loss_scale is None


def test_frozen_weights_of_bfloat16_stay(bfloat16):
    chain = Weights(bfloat16)
    optimizer = make_optimizer('momentum_sgd', chain, .1, .1)
    chain.half.disable_update()
    optimizer.update(chain, 1.)
    assert [parameter.array.item() for parameter in chain.half.params()] == [1, 1]


def test_several_processes_refuse_bfloat16(bfloat16):
    optimizer = make_optimizer('momentum_sgd', Weights(bfloat16), .1, .1)
    with pytest.raises(UserError, match=r'--precision bfloat16: ChainerMN cannot.*float16'):
        make_multi_node(optimizer, as_processes(mock.MagicMock(rank=0, size=2)))


def test_an_overflow_on_another_process_skips_the_update():
    class Comm:
        rank = 0

        def bcast_obj(self, array):
            return array

        def multi_node_mean_grad(self, target, zero_fill):
            target.half.b.grad[:] = np.inf

    chain = Weights()
    optimizer = make_multi_node(make_optimizer('momentum_sgd', chain, .1, .1), as_processes(Comm()))
    optimizer._loss_scale = 8.
    optimizer.update(chain, 1.)
    assert (chain.values() == 1).all() and optimizer._loss_scale == 4


def saved(out):
    with np.load(out / 'snapshot_iter_2') as arrays:
        return {key: arrays[key] for key in arrays if key.startswith('updater/')}


def run_and_resume(folder, *flags):
    """Run two iterations in one piece and in two. Returns the last folder and the arrays."""
    whole, half = folder / 'whole', folder / 'half'
    train.main([*FAST, *flags, '--iteration', '2', '--out', str(whole)])
    half.mkdir()
    for name in ('snapshot_iter_1', 'settings.json'):
        (half / name).write_bytes((whole / name).read_bytes())
    train.main(['--out', str(half), '--resume'])
    expected, resumed = saved(whole), saved(half)
    assert expected.keys() == resumed.keys()
    for key in expected:
        np.testing.assert_array_equal(resumed[key], expected[key], err_msg=key)
    return half, expected


@pytest.mark.slow
@pytest.mark.parametrize('name', ['float16', 'bfloat16'])
def test_a_resumed_run_in_16_bits_ends_in_the_same_weights_and_scale(
        name, data, tmp_path, on_cpu):
    if name == 'bfloat16':
        pytest.importorskip('ml_dtypes')
    half, expected = run_and_resume(tmp_path, '--data', str(data), '--precision', name)
    W = 'main/model/multibox/conf/0/W'
    assert expected.get('updater/optimizer:main/loss_scale') == (4 if name == 'float16' else None)
    assert expected[f'updater/optimizer:{W}/weight'].dtype == np.float32
    assert not any(key.endswith('gamma/weight') for key in expected)  # gamma is float32 itself
    # .npz has no bfloat16, so float32 stands for it.
    assert expected[f'updater/model:{W}'].dtype == (np.float16 if name == 'float16' else np.float32)
    log = json.loads((half / 'log').read_text())
    assert [entry['iteration'] for entry in log] == [1, 2]
    assert load_model(half / 'model.npz')[0].multibox.conf[0].W.dtype == np.float32
    with pytest.raises(UserError, match=f'had precision {name}, not float32'):
        train.main(['--out', str(half), '--resume', '--precision', 'float32'])


@pytest.mark.gpu
@pytest.mark.parametrize('name', PRECISIONS)
def test_a_gpu_trains_in_every_precision(name, data, tmp_path, gpu):
    if name in ('tf32', 'bfloat16') and graphs.missing():
        pytest.skip(graphs.missing())
    train.main([*FAST, '--data', str(data), '--iteration', '4', '--precision', name,
                '--device', '0', '--out', str(tmp_path)])
    log = json.loads((tmp_path / 'log').read_text())
    assert all(0 < entry['main/loss'] < 100 for entry in log) and len(log) == 4


@pytest.mark.gpu
@pytest.mark.parametrize('model', ['slim300', 'lite300', 'ssd300'])
def test_a_run_in_bfloat16_on_a_gpu_is_resumed_to_the_bit_and_evaluated(model, data, tmp_path, gpu):
    if graphs.missing():
        pytest.skip(graphs.missing())
    half, expected = run_and_resume(
        tmp_path, '--data', str(data), '--precision', 'bfloat16', '--device', '0',
        '--model', model, '--pretrained', 'none')
    W = expected['updater/optimizer:main/model/multibox/conf/0/W/weight']
    rounded = expected['updater/model:main/model/multibox/conf/0/W']
    np.testing.assert_array_equal(W.astype(engines.bfloat16.dtype()).astype('f'), rounded)
    assert (rounded != W).any()
    evaluate.main(['--model', str(half / 'model.npz'), '--device', '0'])
    assert (half / 'evaluation' / 'metrics.json').exists()
