"""What is trained, saved and evaluated on a GPU and on a CPU is the same."""
import json

import evaluate
import train
from multibox.data import load_voc
from multibox.detectors import make_detector
from multibox.training import detect

import numpy as np
import pytest

pytestmark = pytest.mark.gpu
CPU, GPU = ('--device', '-1'), ('--device', '0')


def run(data, out, device, *more):
    train.main(['--data', str(data), '--out', str(out), '--model', 'slim300', '--batchsize', '2',
                '--loader-processes', '1', '--log-interval', '1', '--snapshot-interval', '2',
                '--iteration', '4', '--cuts', '3', '--optimizer', 'momentum_sgd', *device, *more])


def losses(out):
    return [entry['main/loss'] for entry in json.loads((out / 'log').read_text())]


@pytest.fixture(scope='module')
def on_cpu(data, tmp_path_factory):
    """Four iterations on a CPU, with a snapshot at the second."""
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
def test_a_run_goes_on_on_another_device(gpu, data, on_cpu, tmp_path, begin, end, capsys):
    run(data, tmp_path, begin)
    (tmp_path / 'snapshot_iter_4').unlink()
    run(data, tmp_path, end, '--resume')
    assert 'resuming after iteration 2' in capsys.readouterr().out
    np.testing.assert_allclose(losses(tmp_path), losses(on_cpu), rtol=1e-3)
    with np.load(tmp_path / 'snapshot_iter_4') as ours, np.load(on_cpu / 'snapshot_iter_4') as all_:
        for name in all_:
            if name.startswith('updater/') and all_[name].dtype == np.float32:  # momentum, too
                scale = abs(all_[name]).max()
                np.testing.assert_allclose(ours[name], all_[name], atol=.01 * scale, err_msg=name)


def test_a_network_detects_the_same_on_both(gpu, data):
    np.random.seed(0)
    model = make_detector('slim300', 6)
    model.score_thresh = .2
    test = load_voc(data).test
    expected = detect(model, test)
    model.to_device(gpu)
    found = detect(model, test)
    for images, others in zip(found, expected):
        for image, other in zip(images, others):
            assert type(image) is np.ndarray and image.shape == other.shape
            np.testing.assert_allclose(image, other, rtol=1e-3, atol=.05)


def test_evaluation_on_a_gpu_scores_as_on_a_cpu(gpu, data, on_cpu, tmp_path):
    scores = []
    for name, device in (('cpu', CPU), ('gpu', GPU)):
        evaluate.main(['--model', str(on_cpu / 'model.npz'), '--data', str(data), *device,
                       '--out', str(tmp_path / name)])
        scores.append(json.loads((tmp_path / name / 'metrics.json').read_text())['map'])
    assert scores[0] == pytest.approx(scores[1], abs=.02)
