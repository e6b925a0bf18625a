"""The best weights, the evaluations and the patience of train.py."""
import json
import re
import shutil
import signal
import types

import train
from multibox.faults import Incomplete
from multibox.training import results
from tests.support.logs import log_without_time

import numpy as np
import pytest

LAST = 8  # iterations of a whole run
FLAGS = ['--model', 'slim300', '--batchsize', '2', '--loader-processes', '0', '--log-interval', '3',
         '--snapshot-interval', '3', '--eval-interval', '2', '--iteration', str(LAST)]
SCORES = [.1, .3, .3, .2]


def give_scores(monkeypatch):
    """Give the evaluations after 2, 4, 6 and 8 iterations fixed scores, and write no report."""
    scored = types.SimpleNamespace(reports=[], stop_at=None)
    monkeypatch.setattr('multibox.evaluation.extension.evaluate', lambda *_, **__: (
        {'map': SCORES[scored.iteration // 2 - 1], 'ap': {}}, [[]] * 6))
    monkeypatch.setattr(results, 'write_results', lambda *_, **more: scored.reports.append(
        (more['iteration'], more['running'])))
    monkeypatch.setattr(results, 'examine', lambda *_, **__: None)  # there are no detections
    monkeypatch.setattr(train, 'plot_curves', lambda out: None)

    class Stop(train.Stop):
        def __call__(self, trainer):
            self._noted = signal.SIGTERM if trainer.updater.iteration == scored.stop_at else 0
            done = super().__call__(trainer)
            scored.iteration = trainer.updater.iteration + 1  # that of the next evaluation
            return done
    monkeypatch.setattr(train, 'Stop', Stop)
    return scored


@pytest.fixture
def scored(monkeypatch):
    """The iterations that were reported, and ``stop_at``, the iteration after which to stop."""
    return give_scores(monkeypatch)


def run(data, out, *more):
    train.main([*FLAGS, '--data', str(data), '--out', str(out), *more])


def arrays(path):
    with np.load(path) as archive:
        return dict(archive)


def assert_same_files(out, expected):
    for name in 'best.npz', 'model.npz':
        assert (out / name).read_bytes() == (expected / name).read_bytes(), name
    assert log_without_time(out) == log_without_time(expected)


@pytest.fixture(scope='module')
def whole(data, tmp_path_factory):
    """The folder of a run that ends by its patience after six of eight iterations."""
    out = tmp_path_factory.mktemp('whole') / 'out'
    with pytest.MonkeyPatch.context() as patch:
        give_scores(patch)
        run(data, out, '--patience', '1')
    return out


@pytest.fixture
def copy(whole, tmp_path, scored):
    """A copy of the folder of that run."""
    return shutil.copytree(whole, tmp_path / 'copy')


def test_patience_ends_a_run_like_a_finished_one(data, tmp_path, scored, capsys):
    run(data, tmp_path / 'o', '--patience', '1')
    assert log_without_time(tmp_path / 'o')[-1]['iteration'] == 6
    assert scored.reports == [(2, True), (4, True), (6, False)]
    said = capsys.readouterr().out
    assert ('ended after iteration 6 of 8, because --patience 1 is at its end: evaluations since '
            'the best mAP: 1; --resume with a larger --patience') in said
    assert (f'weights: {tmp_path}/o/best.npz (mAP 0.3000 after iteration 4, the best) and '
            f'{tmp_path}/o/model.npz (mAP 0.3000, the last)') in said


@pytest.mark.parametrize('stop_at', [
    pytest.param(n, marks=[] if n == 5 else pytest.mark.slow) for n in (2, 3, 4, 5)])
def test_a_stopped_and_resumed_run_ends_by_patience_like_a_whole_one(
        data, tmp_path, whole, scored, stop_at):
    scored.stop_at = stop_at
    with pytest.raises(SystemExit):
        run(data, tmp_path / 'o', '--patience', '1')
    scored.stop_at = None
    train.main(['--out', str(tmp_path / 'o'), '--resume'])
    assert_same_files(tmp_path / 'o', whole)


def test_a_kill_after_an_evaluation_leads_to_the_same_files(copy, whole):
    (copy / 'snapshot_iter_6').unlink()  # as if killed before it
    (copy / 'model.npz').unlink()
    (copy / 'best.npz').write_text('of an evaluation after the snapshot')
    train.main(['--out', str(copy), '--resume'])
    assert_same_files(copy, whole)


def test_a_lost_best_file_comes_from_the_snapshot(copy, whole):
    (copy / 'best.npz').unlink()
    train.main(['--out', str(copy), '--resume'])
    assert_same_files(copy, whole)


@pytest.mark.slow
@pytest.mark.parametrize('patience', ['2', '0'])
def test_a_larger_patience_or_none_goes_on(data, tmp_path, copy, patience):
    train.main(['--out', str(copy), '--resume', '--patience', patience])
    assert log_without_time(copy)[-1]['iteration'] == LAST
    run(data, tmp_path / 'o', '--patience', patience)
    assert_same_files(copy, tmp_path / 'o')


def test_a_run_at_its_end_says_so_and_names_no_random_weights(copy, capsys):
    train.main(['--out', str(copy), '--resume'])
    said = capsys.readouterr().out
    assert 'the run is at its end; its results are written again' in said
    assert 'random' not in said and '0 iterations' not in said


def test_a_snapshot_of_an_earlier_version_is_resumed(tmp_path, whole, scored, capsys):
    old = tmp_path / 'old'
    old.mkdir()
    saved = arrays(whole / 'snapshot_iter_3')
    with open(old / 'snapshot_iter_3', 'wb') as file:
        np.savez(file, **{name: array for name, array in saved.items() if 'Best' not in name})
    settings = json.loads((whole / 'settings.json').read_text())
    for name in 'eval_interval', 'eval_interval_given', 'patience':
        del settings[name]
    (old / 'settings.json').write_text(json.dumps(settings))
    train.main(['--out', str(old), '--resume', '--eval-interval', '2', '--patience', '1'])
    assert 'the snapshot holds no best weights' in capsys.readouterr().out
    assert_same_files(old, whole)


def test_a_failing_report_does_not_end_the_training(data, tmp_path, scored, monkeypatch, capsys):
    def fail(*_, iteration, running, **__):
        if running:
            raise ZeroDivisionError('on\npurpose')
    monkeypatch.setattr(results, 'write_results', fail)
    run(data, tmp_path / 'o', '--eval-interval', '4')
    assert re.search(r'the results after iteration 4: failed \(ZeroDivisionError: on purpose, .*'
                     r'\); the training goes on\n', capsys.readouterr().out)
    assert (tmp_path / 'o' / 'model.npz').exists()


def test_the_last_weights_are_saved_before_the_report(data, tmp_path, scored, monkeypatch):
    def fail(*_, **__):
        raise ZeroDivisionError('on purpose')
    monkeypatch.setattr(results, 'write_results', fail)
    with pytest.raises(Incomplete, match=r'the report: failed \(ZeroDivisionError: on purpose'):
        run(data, tmp_path / 'o', '--eval-interval', '8')
    assert (tmp_path / 'o' / 'model.npz').exists()


def test_a_picture_that_failed_at_the_beginning_is_named_again_at_the_end(
        data, tmp_path, scored, monkeypatch):
    monkeypatch.setattr(results, 'save_inputs', lambda *_: ['training.png: failed (on purpose)'])
    with pytest.raises(Incomplete, match=r'^training\.png: failed \(on purpose\)$'):
        run(data, tmp_path / 'o', '--eval-interval', '8')
    assert (tmp_path / 'o' / 'model.npz').exists() and scored.reports[-1] == (8, False)


@pytest.mark.slow
def test_the_weights_are_the_same_without_a_validation_loss(data, tmp_path, scored, monkeypatch):
    run(data, tmp_path / 'with', '--eval-interval', '4')
    monkeypatch.setattr(train.ValidationLoss, '__call__', lambda self, trainer: None)
    run(data, tmp_path / 'without', '--eval-interval', '4')
    logs = [log_without_time(tmp_path / name) for name in ('with', 'without')]
    assert 'validation/main/loss' in logs[0][-1] and 'validation/main/loss' not in logs[1][-1]
    for name in 'best.npz', 'model.npz':
        assert (tmp_path / 'with' / name).read_bytes() == (tmp_path / 'without' / name).read_bytes()
