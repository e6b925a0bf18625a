"""train.py by its public flags, on a few drawn pictures."""
import contextlib
import functools
import json
import pathlib
import subprocess
import sys

import train
from multibox.devices import available_cores
from multibox.errors import UserError
from multibox.evaluation.threshold import DEFAULT_THRESHOLD
from multibox.locks import Lock
from multibox.matching import match_forced_above
from multibox.processes import ONE
from multibox.training import loop, settings
from multibox.training.folders import FILES
from multibox.weights import load_model
from tests.support.logs import log_without_time

import numpy as np
import pytest
from PIL import Image

ROOT = pathlib.Path(train.__file__).parent
parse_args = functools.partial(
    settings.parse_args, description=None, paper=train.PAPER, slim=train.SLIM,
    lite=train.LITE)
FAST = ['--model', 'slim300', '--batchsize', '2', '--loader-processes', '0', '--log-interval', '1',
        '--eval-interval', '4', '--cuts']


@pytest.fixture(scope='module')
def out(data, tmp_path_factory):
    """The folder of a run of four iterations with a snapshot at the second."""
    out = tmp_path_factory.mktemp('run') / 'out'
    train.main([*FAST, '--data', str(data), '--out', str(out), '--iteration', '4',
                '--snapshot-interval', '2'])
    return out


def test_metrics_name_score_settings_and_versions(out):
    metrics = json.loads((out / 'metrics.json').read_text())
    assert 0 <= metrics['map'] <= 1 and metrics['iteration'] == 4
    assert set(metrics['ap']) == {'boat', 'car', 'fish', 'flower', 'house', 'tree'}
    assert metrics['settings']['model'] == 'slim300' and metrics['settings']['lr'] == 3e-3
    assert metrics['versions']['chainer'] == '7.8.1'
    assert metrics['hardware'].endswith(f', {available_cores()} cores, 1 process')


def test_the_threshold_is_with_the_weights_and_in_the_metrics(out):
    metrics = json.loads((out / 'metrics.json').read_text())
    stored = load_model(out / 'model.npz')[0].threshold
    assert metrics['threshold'] == (DEFAULT_THRESHOLD if stored is None else stored)


def test_a_run_that_has_not_learned_says_so(out):
    metrics = json.loads((out / 'metrics.json').read_text())
    last = json.loads((out / 'log').read_text())[-1]['main/loss/conf']
    assert metrics['learning']['conf_loss'] == pytest.approx(last)
    assert metrics['learning']['findings'][0].startswith('The confidence loss at the end')
    assert '>Has it learned?<' in (out / 'report.html').read_text(encoding='utf-8')


def test_metrics_and_weights_name_the_best_and_the_threshold(out):
    metrics = json.loads((out / 'metrics.json').read_text())
    assert metrics['best'] == {'iteration': 4, 'map': metrics['map']}
    assert metrics['running'] is False
    for name in 'best.npz', 'model.npz':
        with np.load(out / name) as arrays:
            stored = json.loads(arrays['multibox'].item())['threshold']
        assert metrics['threshold'] == (DEFAULT_THRESHOLD if stored is None else stored)


def test_the_log_has_the_terms_of_the_loss(out):
    log = json.loads((out / 'log').read_text())
    assert [entry['iteration'] for entry in log] == [1, 2, 3, 4]
    for entry in log:
        assert entry['main/loss'] == pytest.approx(
            entry['main/loss/loc'] + entry['main/loss/conf'], rel=1e-5)
    assert 'validation/main/map' in log[-1]


def test_the_report_shows_the_run(out):
    report = (out / 'report.html').read_text(encoding='utf-8')
    mean_ap = json.loads((out / 'metrics.json').read_text())['map']
    assert f'<h1>mAP {mean_ap:.4f}</h1>' in report and 'slim300 on ' in report
    for curve in ('share over threshold', 'precision over recall', 'loss over iteration',
                  'mAP over iteration', 'images per second over iteration'):
        assert f'aria-label="{curve}.' in report, curve


@pytest.mark.parametrize('name', ['loss.png', 'map.png', 'precision_recall.png', 'detections.png',
                                  'training.png', 'data-set/sample.png'])
def test_pictures_are_left(out, name):
    with Image.open(out / name) as picture:
        assert min(picture.size) > 200


def test_the_model_file_is_enough_to_detect(out, data):
    model, name, label_names = load_model(out / 'model.npz')
    assert name == 'slim300' and label_names[0] == 'boat'
    bboxes, labels, scores = model.predict([np.zeros((3, 100, 120), 'f')])
    assert bboxes[0].shape[1] == 4 and len(labels[0]) == len(scores[0])


def test_a_run_may_start_from_anothers_model(out, data, tmp_path, capsys):
    train.main([*FAST, '--data', str(data), '--out', str(tmp_path / 'o'), '--iteration', '1',
                '--lr', '0', '--reuse', str(out / 'model.npz')])
    said = capsys.readouterr()[0]
    assert 'background and boat, car, fish, flower, house, tree; at random start none' in said
    before, after = weights(out), weights(tmp_path / 'o')
    np.testing.assert_array_equal(after['multibox/conf/0/W'], before['multibox/conf/0/W'])


def weights(out):
    with np.load(out / 'model.npz') as arrays:
        return {key: arrays[key] for key in arrays if key != 'multibox'}


@pytest.mark.parametrize('n_processes', ['0', '2'])
def test_a_resumed_run_ends_in_the_same_weights_and_log(out, data, tmp_path, n_processes, capsys):
    half = tmp_path / 'half'
    half.mkdir()
    for name in ('snapshot_iter_2', 'settings.json'):
        (half / name).write_bytes((out / name).read_bytes())
    train.main([*FAST, '--data', str(data), '--out', str(half), '--iteration', '4', '--resume',
                '--snapshot-interval', '2', '--loader-processes', n_processes])
    assert 'resuming after iteration 2' in capsys.readouterr().out
    for key, expected in weights(out).items():
        np.testing.assert_array_equal(weights(half)[key], expected, err_msg=key)
    assert log_without_time(half) == log_without_time(out)


def test_another_loss_trains_by_its_name(data, tmp_path, monkeypatch):
    rules = []
    make = train.MakeTargets
    monkeypatch.setattr(train, 'MakeTargets', lambda *args, **more: (
        rules.append(args[-1]) or make(*args, **more)))
    train.main([*FAST, '--data', str(data), '--out', str(tmp_path / 'out'), '--iteration', '1',
                '--loss', 'super_gradients', '--alpha', '0.6'])
    assert rules == [match_forced_above]
    entry, = json.loads((tmp_path / 'out' / 'log').read_text())
    assert entry['main/loss'] == pytest.approx(
        1.4 * entry['main/loss/loc'] + 0.6 * entry['main/loss/conf'], rel=1e-5)
    metrics = json.loads((tmp_path / 'out' / 'metrics.json').read_text())
    assert metrics['settings']['loss'] == 'super_gradients'


def test_a_damaged_newest_snapshot_is_reported_and_the_one_before_used(out, data, tmp_path, capsys):
    broken = tmp_path / 'broken'
    broken.mkdir()
    for name in ('snapshot_iter_2', 'settings.json'):
        (broken / name).write_bytes((out / name).read_bytes())
    (broken / 'snapshot_iter_4').write_bytes((out / 'snapshot_iter_4').read_bytes()[:10000])
    train.main([*FAST, '--data', str(data), '--out', str(broken), '--iteration', '4', '--resume'])
    said = capsys.readouterr().out
    assert 'snapshot_iter_4: damaged' in said and 'resuming after iteration 2' in said


def test_a_finished_run_is_not_overwritten(out, data):
    with pytest.raises(UserError, match='holds a run already; continue it with --resume'):
        train.main([*FAST, '--data', str(data), '--out', str(out)])


@pytest.mark.parametrize('changed, match', [
    (['--batchsize', '3'], 'batchsize 2, not 3'),
    (['--seed', '9'], 'seed 0, not 9'),
    (['--k', '1'], 'k 3.0, not 1.0'),
    (['--loss', 'notebook'], 'loss chainercv, not notebook'),
], ids=['batchsize', 'seed', 'k', 'loss'])
def test_resuming_with_another_setting_names_it(out, changed, match):
    with pytest.raises(UserError, match=match):
        train.main(['--out', str(out), '--resume', *changed])


@pytest.mark.parametrize('flag, value', [
    ('--iteration', '0'), ('--batchsize', '-1'), ('--lr', 'nan'), ('--lr', 'inf'), ('--k', '-1'),
    ('--seed', '-1')])
def test_a_value_out_of_range_is_named(flag, value):
    with pytest.raises(UserError, match=f'{flag} must be a number from'):
        train.main([f'{flag}={value}'])


def test_a_users_mistake_ends_in_one_line_without_traceback(tmp_path):
    result = subprocess.run(
        [sys.executable, ROOT / 'train.py', '--data', 'nowhere', '--out', tmp_path / 'out'],
        capture_output=True, text=True, cwd=tmp_path)
    assert result.returncode == 1
    assert 'nowhere: no such folder' in result.stderr and 'Traceback' not in result.stderr


def test_a_gpu_that_is_not_there_is_named(monkeypatch):
    monkeypatch.setattr('multibox.devices.cuda.available', False)
    with pytest.raises(UserError, match='--device @cupy:0: CuPy finds no GPU here'):
        train.main(['--device', '0'])


def test_resuming_to_less_than_was_done_is_named(out, data):
    with pytest.raises(UserError, match=f'--iteration 3: the run in {out} is past it'):
        train.main(['--out', str(out), '--resume', '--iteration', '3'])


@pytest.mark.parametrize('name', [*FILES, 'snapshot_iter_40/'])
def test_a_file_of_the_name_of_a_result_is_not_overwritten(tmp_path, name):
    out = tmp_path / 'out'
    (out / name).parent.mkdir(parents=True)
    (out / name).mkdir() if name.endswith('/') else (out / name).write_text('precious')
    before = sorted(tmp_path.rglob('*'))
    match = 'holds a run already' if name == 'model.npz' else f'holds {name.strip("/")}, which'
    with pytest.raises(UserError, match=match):
        settings.check_and_lock(parse_args(['--out', str(out)]), ONE)
    assert sorted(tmp_path.rglob('*')) == before


def test_a_run_writes_no_other_names_than_those_that_must_be_free(out):
    names = {str(path.relative_to(out)) for path in out.rglob('*') if path.is_file()}
    assert names - {*FILES} == {'snapshot_iter_2', 'snapshot_iter_4'}


def test_a_folder_in_use_is_refused_also_for_a_resumed_run(out):
    before = {path: path.stat().st_mtime_ns for path in out.rglob('*')}
    with Lock(out), pytest.raises(UserError, match=f'{out}: process .* is writing into'):
        train.main(['--out', str(out), '--resume', '--iteration', '5'])
    assert {path: path.stat().st_mtime_ns for path in out.rglob('*')} == before


def test_a_run_that_began_and_ended_meanwhile_is_seen_under_the_lock(tmp_path, monkeypatch):
    class Late(Lock):
        def __init__(self, folder, *args):
            super().__init__(folder, *args)
            (folder / 'model.npz').touch()
    monkeypatch.setattr(settings, 'Lock', Late)
    with pytest.raises(UserError, match='holds a run already'):
        settings.check_and_lock(parse_args(['--out', str(tmp_path)]), ONE)
    Lock(tmp_path).release()


@pytest.mark.parametrize('content', ['[{"it', None], ids=['damaged', 'folder'])
def test_the_log_of_a_resumed_run_may_be_spoilt(out, data, tmp_path, content, capsys):
    half = tmp_path / 'half'
    half.mkdir()
    for name in ('snapshot_iter_4', 'settings.json'):
        (half / name).write_bytes((out / name).read_bytes())
    (half / 'log').mkdir() if content is None else (half / 'log').write_text(content)
    with contextlib.suppress(UserError):  # of a report without a log
        train.main(['--out', str(half), '--resume', '--loader-processes', '0'])
    assert (half / 'model.npz').exists()
    if content is None:
        assert 'log: cannot be written (Is a directory)' in capsys.readouterr().out
    else:
        assert log_without_time(half) == log_without_time(out)


def test_weights_that_are_not_finite_are_not_reported_as_a_result(data, tmp_path, monkeypatch):
    monkeypatch.setattr(loop, 'is_finite', lambda link: False)
    with pytest.raises(UserError, match='iteration 1: the last update made weights that are not'):
        train.main([*FAST, '--data', str(data), '--out', str(tmp_path / 'o'), '--iteration', '1'])
    assert not (tmp_path / 'o' / 'model.npz').exists()


def test_an_output_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / 'file').write_text('')
    with pytest.raises(UserError, match=r'--out .*file: cannot be made'):
        train.main(['--out', str(tmp_path / 'file')])


def test_a_run_killed_before_its_first_snapshot_may_be_begun_anew(out, tmp_path):
    for name in 'log', 'settings.json', 'training.png':
        (tmp_path / name).write_bytes((out / name).read_bytes())
    settings.check_and_lock(parse_args(['--out', str(tmp_path)]), ONE).release()
    (tmp_path / 'best.npz').write_bytes((out / 'best.npz').read_bytes())
    with pytest.raises(UserError, match=r'holds best\.npz, which would be overwritten'):
        settings.check_and_lock(parse_args(['--out', str(tmp_path)]), ONE)
