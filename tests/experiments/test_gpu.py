"""Measuring on a GPU, without one: turns of processes, what is saved, the arithmetic behind."""
import json
import subprocess
import sys
import time
import types

from experiments.gpu import bccd, detections, plans, precision, step
from experiments.timing import gpu_clock as clock
from experiments.timing import rivals
from experiments.timing.watch import Watch
from multibox import engines
from multibox.networks import make_detector
from multibox.networks.layers import Convolution2D
from tests.support import fake_cudnn
from tests.support.fake_cudnn import Offer

import chainer
import pytest

FAKE = f'''#!{sys.executable}
import json, sys, time
kind = sys.argv[1]
print(json.dumps({{'versions': {{'kind': kind}}}}), flush=True)
for n, line in enumerate(sys.stdin):
    if kind == 'dies' and n == 4:
        sys.exit('out of memory')
    if kind == 'hangs':
        time.sleep(99)
    print(json.dumps({{'seconds': .01, 'memory_bytes': int(line)}}), flush=True)
'''


@pytest.fixture
def python(tmp_path):
    """A stand-in for the interpreter that runs a contestant."""
    path = tmp_path / 'python'
    path.write_text(FAKE)
    path.chmod(0o755)
    return str(path)


@pytest.fixture
def watch(monkeypatch):
    monkeypatch.setattr('experiments.timing.watch.COMMAND', [
        'sh', '-c', 'echo "[N/A], 10"; while echo "50, 1000"; do sleep .01; done'])
    watch = Watch()
    yield watch
    watch.end()


@pytest.mark.slow
def test_who_fails_does_not_harm_the_others(python, watch):
    found = rivals.compete(
        {kind: lambda kind=kind: rivals.Rival([python, kind], limit=5)
         for kind in ('dies', 'hangs', 'good')}, repeat=2, seconds=.05, watch=watch)
    assert found['dies'] == {'error': 'ended with 1: out of memory'}
    assert found['hangs'] == {'error': 'no answer in 5 s'}
    good = found['good']
    assert good['seconds_a_step'] == [.01, .01] and good['versions'] == {'kind': 'good'}
    assert good['steps_a_turn'] == good['memory_bytes'] == 5


def test_the_gpus_time_is_without_that_of_launching(monkeypatch):
    order = []
    event = types.SimpleNamespace(record=lambda: order.append('event'), synchronize=lambda: None)
    monkeypatch.setattr(clock, 'cuda', types.SimpleNamespace(cupy=types.SimpleNamespace(
        RawKernel=lambda code, name: lambda *args: order.append(name), cuda=types.SimpleNamespace(
            Event=lambda: event, get_elapsed_time=lambda begin, end: 5))))
    assert clock.on_gpu(lambda: order.append('call')) == .005
    assert order == ['pause', 'event', 'call', 'event']


def test_the_load_is_that_of_the_span(watch):
    while len(watch._samples) < 3:
        time.sleep(.01)
    first, second = (sample[0] for sample in watch._samples[:2])
    assert watch.between(first, second) == {'percent_busy': [50, 50], 'mean': 50, 'mib_used': 1000}
    assert watch.between(0, first / 2) is None


def test_what_times_by_the_gpus_clock_imports_it_before_anything_of_ours():
    subprocess.run([sys.executable, '-c', 'import experiments.timing.gpu_clock'], check=True)


def test_without_nvidia_smi_there_is_no_load(monkeypatch):
    monkeypatch.setattr('experiments.timing.watch.COMMAND', ['no-such-program'])
    watch = Watch()
    assert watch.between(0, 1e9) is None
    watch.end()


def fake_compete(asked):
    def compete(group, repeat, seconds, watch):
        asked.append(list(group))
        return {name: {'error': 'no memory'} if name == 'torch.compile' else {
            'seconds_a_step': [.1, .2, .4] if name == 'torch' else [.1, .1, .1], 'load': [None],
            'memory_bytes': 2e9} for name in group}
    return compete


def test_what_was_measured_is_saved_with_what_was_not(tmp_path, monkeypatch, capsys):
    asked = []
    monkeypatch.setattr(step, 'compete', fake_compete(asked))
    monkeypatch.setattr(step, 'available_cores', lambda: 4)
    monkeypatch.setattr(step, 'gpu_name', lambda: 'a GPU')
    out = tmp_path / 'step.json'
    step.main(['--quick', '--out', str(out)])
    results = json.loads(out.read_text())['results']
    assert asked == [['ours', 'torch', 'torch.compile']] * 2 + [['fed'], ['loader']] * 2
    first = results['measured'][0]
    assert (first['model'], first['precision'], first['batchsize']) == ('ssd300', 'bfloat16', 32)
    ours, torch, failed = first['contestants'].values()
    assert ours['images_a_second'] == 320 and torch['images_a_second'] == 160
    assert ours['times_torch']['median'] == 2 and failed == {'error': 'no memory'}
    assert results['left_out'] == [] and [each.get('workers') for each in results['measured']] == [
        None, None, 2, 3]
    assert 'torch.compile  failed: no memory' in capsys.readouterr().out


@pytest.mark.parametrize('only, workers', [
    ('steps', [None, None]), ('fed', [2, 3]), (None, [None, None, 2, 3])])
def test_a_part_can_be_measured_alone(monkeypatch, only, workers):
    monkeypatch.setattr(step, 'available_cores', lambda: 4)
    args = step.parse_args(['--quick', '--precisions', 'float16', 'float32'])
    args.only = only
    plan = step._plan(args)
    assert [setting.get('workers') for setting in plan] == workers
    assert plan[0]['precision'] == 'float16'


def test_what_does_not_fit_in_memory_together_runs_alone(monkeypatch):
    asked = []
    monkeypatch.setattr(step, 'compete', fake_compete(asked))
    args = step.parse_args([])
    found = step.measure({'model': 'ssd512', 'precision': 'tf32', 'batchsize': 64}, args, None)
    assert asked == [['ours'], ['torch'], ['torch.compile']] and 'times_torch' not in found['ours']


def test_when_time_is_up_the_rest_is_listed(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(step, 'compete', fake_compete([]))
    step.main(['--device', '-1', '--minutes', '0', '--out', str(tmp_path / 'step.json')])
    assert capsys.readouterr().out.count('left out for lack of time') > 20


@pytest.mark.parametrize('name', ['ssd300', 'ssd512'])
def test_the_network_in_pytorch_is_ours(name):
    torch = pytest.importorskip('torch')
    from experiments.gpu.torch_ssd import N_BOX, SSD
    theirs, ours = SSD(name, 21), make_detector(name, 20)
    assert sorted(p.numel() for p in theirs.parameters()) == sorted(p.size for p in ours.params())
    with torch.no_grad():
        locs, confs = theirs(torch.zeros(1, 3, ours.insize, ours.insize))
    assert locs.shape == (1, N_BOX[name], 4) and confs.shape == (1, N_BOX[name], 21)
    assert N_BOX[name] == len(ours.coder.default_bbox)


def write_run(out, name, log, **settings):
    (out / 'runs').mkdir(exist_ok=True)
    (out / name).mkdir()
    (out / name / 'log').write_text(json.dumps(log))
    (out / 'runs' / f'{name}.json').write_text(json.dumps(
        {'map': .5, 'ap': {}, 'seconds': 90, 'hardware': 'a GPU', 'settings': settings}))


def test_the_time_of_the_recipe_is_computed_without_evaluations(tmp_path):
    times = [(0, 7), (10, 9), (20, 11), (30, 99), (40, 101)]
    log = [{'iteration': iteration, 'elapsed_time': time} for iteration, time in times]
    log[3]['validation/main/map'] = .5
    write_run(tmp_path, 'one', log, batchsize=32, precision='tf32')
    found = bccd.durations(tmp_path)['one']
    assert found['minutes'] == 1.5 and found['images_a_second'] == 32 / .2
    assert found['hours_of_120k_iterations_computed'] == pytest.approx(120000 * .2 / 3600)


def test_a_precision_is_as_far_from_float32_as_its_loss_is(tmp_path):
    for name, losses in (('float32', [(4, 1), (6, 3)]), ('tf32', [(5, 2), (5, 2)]),
                         ('float16', [(7, 2)])):
        for seed, curve in enumerate(losses):
            write_run(tmp_path, f'{name}-seed{seed}', [{'main/loss': loss} for loss in curve],
                      precision=name)
    found = precision.compare(precision.losses(tmp_path))
    assert found['tf32'] == {'loss': [5, 2], 'mean_distance': 0}
    assert found['float16']['mean_distance'] == pytest.approx(2 / 2 ** .5 / 2)


@pytest.mark.parametrize('argv, expected', [
    ([], ['--', '--loader-processes', '3']),
    (['--seeds', '1', '--', '--data', 'x'],
     ['--seeds', '1', '--', '--loader-processes', '3', '--data', 'x'])])
def test_a_gpu_is_fed_by_all_cores_but_one(argv, expected, monkeypatch):
    monkeypatch.setattr(bccd, 'available_cores', lambda: 4)
    assert bccd.with_loader(argv) == expected


@pytest.mark.slow
def test_detections_are_timed_beside_chainercvs(tmp_path, capsys):
    detections.main(['--device', '-1', '--network', 'slim300', '--batchsize', '2', '--repeat', '1',
                     '--outputs', 'trained', '--out', str(tmp_path / 'detections.json')])
    assert capsys.readouterr().out.endswith('failed: nothing\n')
    results = json.loads((tmp_path / 'detections.json').read_text())['results']
    assert results['trained']['in_common'] == {'chainercv': 1, 'multibox': 1}
    assert results['trained']['detections'] > 0
    for part in results['network'].values():
        assert set(part['images_per_second']) == {'chainercv', 'multibox'}


def test_chosen_plans_are_compared_with_the_heuristics_first(use, monkeypatch):
    fake_cudnn.pretend(monkeypatch)
    fake_cudnn.offers[:] = Offer('first', 3), Offer('large', 1, workspace=2 ** 31), Offer('fast', 2)
    monkeypatch.setattr(plans, 'select_device', lambda name: chainer.get_device('@numpy'))
    monkeypatch.setattr(engines, 'set_up', lambda device, conv, precision: use(conv, precision))
    monkeypatch.setattr(plans, 'make_detector', lambda model, n_class: OneConvolution())
    of_weights, of_output = sorted(plans.compare('ssd300', 'tf32', 2), key=lambda each: each[
        'problem'], reverse=True)
    assert of_output['problem'].startswith('conv_fprop float32 bias x 2x3x8x8')
    assert of_weights['problem'].startswith('conv_wgrad')
    for each in of_weights, of_output:
        assert each['plan'] == ': fast' and each['n_timed'] == 2
        assert each['seconds_of_first'] == pytest.approx(.003)
        assert each['seconds'] == pytest.approx(.002)


class OneConvolution(chainer.Chain):
    """A detector of one convolution."""

    insize = 8

    def __init__(self):
        super().__init__()
        with self.init_scope():
            self.conv = Convolution2D(3, 4, 3)

    def forward(self, imgs):
        y = self.conv(imgs)
        return y[:, :2], y[:, 2:]
