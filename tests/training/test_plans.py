"""The plans of a run: measured before the training, cached, and the same after --resume."""
import json
import types

from multibox.data.voc import VOCData, VOCDataset
from multibox.engines.convolution import plans as engine_plans
from multibox.networks.layers import Convolution2D
from multibox.processes import ONE, OneProcess
from multibox.training import plans, settings
from tests.support import fake_cudnn
from tests.support.fake_cudnn import Offer

import chainer
import numpy as np
import pytest

SLOW, FAST = Offer('slow', 2), Offer('fast', 1)


class Network(chainer.Chain):
    """A detector with one convolution; ``passes`` counts its calls."""

    insize, passes = 8, 0

    def __init__(self):
        super().__init__()
        with self.init_scope():
            self.conv = Convolution2D(3, 4, 3)

    def forward(self, imgs):
        self.passes += 1
        y = self.conv(imgs)
        return y[:, :2], y[:, 2:]


@pytest.fixture
def network(use, monkeypatch, tmp_path):
    """A network that computes by the stand-in for cuDNN on a GPU called A."""
    fake_cudnn.pretend(monkeypatch)
    fake_cudnn.offers[:] = SLOW, FAST
    monkeypatch.setattr(plans, '_hardware', lambda: ('GPU A', 91900))
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'cache'))
    use('cudnn', 'tf32')
    return Network()


def prepare(network, out, is_resumed=False):
    out.mkdir(exist_ok=True)
    plans.prepare(network, 2, out, is_resumed)
    return json.loads((out / 'plans.json').read_text())


def cache_of(tmp_path):
    return tmp_path / 'cache/multibox/plans-GPU-A-91900.json'


def test_the_plans_of_a_run_are_measured_and_written(network, tmp_path, capsys):
    content = prepare(network, tmp_path / 'out')
    assert content.pop('plans') == {
        'conv_fprop float32 bias x 2x3x8x8 W 4x3x3x3 y 2x4x6x6 stride 1x1 pad 0x0 dilate 1x1':
            ': fast',
        'conv_wgrad float32 x 2x3x8x8 W 4x3x3x3 y 2x4x6x6 stride 1x1 pad 0x0 dilate 1x1': ': fast'}
    assert content == {'gpu': 'GPU A', 'cudnn': 91900}
    assert capsys.readouterr().out.startswith('measured the plans of 2 convolutions in 0')
    assert network.conv.W.grad is None


def test_training_uses_the_table_and_measures_no_more(network, tmp_path, monkeypatch):
    prepare(network, tmp_path)
    monkeypatch.setattr(engine_plans, 'measure', None)
    monkeypatch.setattr(fake_cudnn, 'graphs', [])
    network(np.zeros((2, 3, 8, 8), 'f'))
    network(np.zeros((1, 3, 8, 8), 'f'))  # of another shape: the first plan of the heuristic
    (other,) = fake_cudnn.graphs
    assert other.chosen == SLOW


def test_a_run_uses_no_plans_of_other_runs(network, tmp_path, monkeypatch):
    plans.prepare(network, 1, tmp_path, False)  # a run with another batch size
    content = prepare(network, tmp_path / 'out')
    assert engine_plans._table.plans == content['plans']
    assert len(json.loads(cache_of(tmp_path).read_text())['plans']) == 2 * len(content['plans'])


def test_another_run_takes_the_plans_from_the_cache(network, tmp_path, monkeypatch, capsys):
    first = prepare(network, tmp_path / 'out')
    monkeypatch.setattr(engine_plans, 'measure', None)
    capsys.readouterr()
    assert prepare(network, tmp_path / 'out-2') == first
    assert not capsys.readouterr().out


def test_a_resumed_run_keeps_its_plans_without_a_cache(network, tmp_path, monkeypatch, capsys):
    first = prepare(network, tmp_path / 'out')
    cache_of(tmp_path).unlink()
    monkeypatch.setattr(engine_plans, 'measure', None)
    capsys.readouterr()
    assert prepare(network, tmp_path / 'out', is_resumed=True) == first
    assert not capsys.readouterr().out


def test_the_plans_of_a_resumed_run_come_before_those_of_the_cache(network, tmp_path, monkeypatch):
    first = prepare(network, tmp_path / 'out')
    content = json.loads(cache_of(tmp_path).read_text())
    content['plans'] = dict.fromkeys(content['plans'], ': slow')
    cache_of(tmp_path).write_text(json.dumps(content))
    assert prepare(network, tmp_path / 'out', is_resumed=True) == first
    assert prepare(network, tmp_path / 'new') == content


@pytest.mark.parametrize('content, reason', [
    (None, 'is missing'), ('{', 'is damaged'), ('{"plans": [1]}', 'is damaged'),
    ('{"plans": {"key": 1}}', 'is damaged'), ('[]', 'is damaged'), ('{}', 'is damaged'),
    ('{"gpu": "GPU B", "cudnn": 90000, "plans": {}}', 'is of GPU B and cuDNN 90000')])
def test_a_resumed_run_without_good_plans_says_so_and_measures(
        network, tmp_path, capsys, content, reason):
    first = prepare(network, tmp_path / 'out')
    cache_of(tmp_path).unlink()
    path = tmp_path / 'out/plans.json'
    path.unlink() if content is None else path.write_text(content)
    capsys.readouterr()
    assert prepare(network, tmp_path / 'out', is_resumed=True) == first
    measured, changed = capsys.readouterr().out.splitlines()
    assert measured.startswith('measured the plans of 2 convolutions')
    assert changed == (f'{path}: {reason}; the run goes on with other plans of convolutions, so '
                       'its results may differ in the last bits')


def test_a_resumed_run_says_which_plans_are_gone(network, tmp_path, capsys):
    prepare(network, tmp_path / 'out')
    fake_cudnn.offers[:] = Offer('new', .5), SLOW
    capsys.readouterr()
    content = prepare(network, tmp_path / 'out', is_resumed=True)
    assert set(content['plans'].values()) == {': new'}
    assert 'cuDNN no longer offers 2 of its plans; the run goes on' in capsys.readouterr().out


def test_a_damaged_cache_is_named_and_replaced(network, tmp_path, capsys):
    prepare(network, tmp_path / 'out')
    cache_of(tmp_path).write_text('{')
    capsys.readouterr()
    prepare(network, tmp_path / 'out-2')
    line, _ = capsys.readouterr().out.splitlines()
    assert line == (f'{cache_of(tmp_path)}: is damaged, so plans of convolutions are measured anew')
    assert json.loads(cache_of(tmp_path).read_text())['plans']


def test_a_cache_that_cannot_be_written_stops_nothing(network, tmp_path):
    (tmp_path / 'cache').write_text('')
    assert prepare(network, tmp_path / 'out')['plans']


def test_the_other_processes_use_the_table_of_the_first(network, tmp_path, monkeypatch):
    class Second(OneProcess):
        rank, size = 1, 2

        def broadcast(self, value):
            assert not value
            return {'key': ': fast'}
    plans.prepare(network, 2, tmp_path, False, Second())
    assert engine_plans._table.plans == {'key': ': fast'} and not engine_plans._table.measures
    assert network.passes == 0 and not (tmp_path / 'plans.json').exists()


@pytest.mark.parametrize('device, conv, expected', [
    ('cuda', 'cudnn', [('the network', 8, False)]), ('cuda', 'chainer', []), ('cpu', 'onednn', [])])
def test_training_on_a_gpu_with_cudnn_begins_with_the_choice(
        tmp_path, monkeypatch, device, conv, expected):
    prepared = []
    monkeypatch.setattr(settings, 'prepare', lambda model, batchsize, out, resumed, processes:
                        prepared.append((model, batchsize, resumed)))
    of_run = types.SimpleNamespace(target=types.SimpleNamespace(model='the network'))
    trainer = types.SimpleNamespace(
        updater=types.SimpleNamespace(get_optimizer=lambda name: of_run, iteration=0))
    args = types.SimpleNamespace(out=tmp_path, resume=False, patience=0, iteration=10, batchsize=8,
                                 eval_interval=5, device=device, conv=conv, data=None)
    data = VOCData(VOCDataset([0]), VOCDataset([]), (), [], [])
    monkeypatch.setattr(VOCData, 'checksum', lambda data: 0)
    settings.begin_or_resume(trainer, args, data, ONE)
    assert prepared == expected
