"""Training, resuming and evaluation give the same results on a GPU and on a CPU."""
import json
import shutil

import evaluate
import train
from multibox.data import load_data
from multibox.evaluation import detect
from multibox.weights import load_model

import numpy as np
import pytest

pytestmark = pytest.mark.gpu
CPU, GPU = ('--device', '-1'), ('--device', '0')


def run(data, out, device, *more):
    # The rate is low, because long steps and small batches amplify rounding errors.
    train.main(['--data', str(data), '--out', str(out), '--model', 'slim300', '--batchsize', '2',
                '--loader-processes', '1', '--log-interval', '1', '--snapshot-interval', '2',
                '--iteration', '4', '--eval-interval', '4', '--cuts', '3', '--optimizer',
                'momentum_sgd', '--lr', '1e-3', *device, *more])


def losses(out):
    return [entry['main/loss'] for entry in json.loads((out / 'log').read_text())]


def momenta(out):
    """The momenta of all weights as one vector. Those of some weights are mere rounding errors."""
    with np.load(out / 'snapshot_iter_4') as arrays:
        return np.concatenate([arrays[name].ravel() for name in arrays if name.endswith('/v')])


@pytest.fixture(scope='module')
def on_cpu(data, tmp_path_factory):
    """The folder of a run of four iterations on a CPU, with a snapshot at the second."""
    out = tmp_path_factory.mktemp('cpu') / 'out'
    run(data, out, CPU)
    return out


@pytest.mark.parametrize('loss', sorted(train.LOSSES))
def test_a_run_on_a_gpu_is_that_on_a_cpu(gpu, data, tmp_path, loss):
    for name, device in (('cpu', CPU), ('gpu', GPU)):
        run(data, tmp_path / name, device, '--loss', loss)
    np.testing.assert_allclose(losses(tmp_path / 'gpu'), losses(tmp_path / 'cpu'), rtol=1e-3)
    metrics = json.loads((tmp_path / 'gpu' / 'metrics.json').read_text())
    assert metrics['device'] == '0' and '1 process' in metrics['hardware']


@pytest.mark.parametrize('begin, end', [(GPU, CPU), (CPU, GPU), (GPU, GPU)],
                         ids=['GPU to CPU', 'CPU to GPU', 'GPU to GPU'])
def test_a_run_resumes_on_another_device(gpu, data, on_cpu, tmp_path, begin, end, capsys):
    run(data, tmp_path, begin)
    (tmp_path / 'snapshot_iter_4').unlink()
    run(data, tmp_path, end, '--resume')
    assert 'resuming after iteration 2' in capsys.readouterr().out
    np.testing.assert_allclose(losses(tmp_path), losses(on_cpu), rtol=1e-3)
    ours, on_one = momenta(tmp_path), momenta(on_cpu)
    assert np.linalg.norm(ours - on_one) < .2 * np.linalg.norm(on_one)


def test_a_network_detects_the_same_on_both(gpu, data, on_cpu):
    model, *_ = load_model(on_cpu / 'model.npz')
    model.score_thresh = .2
    test = load_data(data).test
    expected = detect(model, test)
    model.to_device(gpu)
    found = detect(model, test)
    for image in range(len(test)):
        ours, others = ([each[image] for each in lists[:3]] for lists in (found, expected))
        assert all(type(array) is np.ndarray for array in ours)
        # Among thousands of detections, rounding may decide which of two suppresses the other.
        equal = is_close(ours, others)
        assert equal.any(axis=0).mean() > .9 and equal.any(axis=1).mean() > .9


def is_close(ours, others):
    """Whether each of N detections is about equal to each of M others: (N, M) bool."""
    (bbox, label, score), (bbox_2, label_2, score_2) = ours, others
    return (np.isclose(bbox[:, None], bbox_2, rtol=1e-3, atol=.05).all(axis=2)
            & (label[:, None] == label_2) & np.isclose(score[:, None], score_2, rtol=1e-3))


def test_evaluation_on_a_gpu_scores_as_on_a_cpu(gpu, data, on_cpu, tmp_path):
    scores = []
    for name, device in (('cpu', CPU), ('gpu', GPU)):
        evaluate.main(['--model', str(on_cpu / 'model.npz'), '--data', str(data), *device,
                       '--out', str(tmp_path / name)])
        scores.append(json.loads((tmp_path / name / 'metrics.json').read_text())['map'])
    assert scores[0] == pytest.approx(scores[1], rel=.1) and scores[0] > 0


@pytest.mark.parametrize('precision', ['float32', 'tf32', 'float16', 'bfloat16'])
@pytest.mark.parametrize('model, optimizer', [
    ('slim300', 'momentum_sgd'), ('slim300', 'adam'), ('lite300', 'adam'),
    ('ssd300', 'momentum_sgd')])
def test_a_cuda_graph_trains_the_same_weights_to_the_bit(
        gpu, data, tmp_path, capsys, model, optimizer, precision):
    more = ('--model', model, '--optimizer', optimizer, '--precision', precision,
            '--pretrained', 'none', '--iteration', '10', '--warmup', '8',
            '--snapshot-interval', '5', '--eval-interval', '3')
    run(data, tmp_path / 'graph', GPU, *more)
    (tmp_path / 'resumed').mkdir()
    for name in 'snapshot_iter_5', 'settings.json':
        shutil.copy(tmp_path / 'graph' / name, tmp_path / 'resumed')
    run(data, tmp_path / 'resumed', GPU, *more, '--resume')
    assert 'without a CUDA graph' not in capsys.readouterr().out
    run(data, tmp_path / 'plain', GPU, *more, '--no-graph')
    expected = state(tmp_path / 'plain')
    for name in 'graph', 'resumed':
        for key, value in state(tmp_path / name).items():
            np.testing.assert_array_equal(value, expected[key], err_msg=f'{name}: {key}')
        assert losses(tmp_path / name) == losses(tmp_path / 'plain')


def state(out):
    """Weights, momenta and counts of the last snapshot."""
    with np.load(out / 'snapshot_iter_10') as arrays:
        return {name: arrays[name] for name in arrays if name.startswith('updater/')}
