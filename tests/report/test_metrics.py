"""metrics.json: a score and its origin."""
import json
import shutil
import subprocess
import sys
from datetime import datetime, timedelta

import multibox
from multibox.errors import UserError
from multibox.files import write_json
from multibox.report import metrics

import numpy as np
import pytest

RESULT = {'map': np.float64(0.5), 'ap': {'cat': np.float32(0.5), 'dog': float('nan'), 'cow': None}}


def write(path, **changed):
    values = {'result': RESULT, 'iteration': 12, 'settings': {'data': path.parent, 'lr': 1e-3},
              'seconds': 1.25, 'device': '@numpy', 'hardware': 'H200', **changed}
    write_json(path, metrics.make_metrics(**values))
    return json.loads(path.read_text(), parse_constant=pytest.fail)  # NaN is not JSON


def test_metrics_hold_what_was_given(tmp_path):
    written = write(tmp_path / 'metrics.json')
    assert written['map'] == 0.5
    assert written['ap'] == {'cat': 0.5, 'dog': None, 'cow': None}
    assert written['iteration'] == 12 and written['device'] == '@numpy'
    assert written['hardware'] == 'H200'
    assert written['settings'] == {'data': str(tmp_path), 'lr': 1e-3}


def test_texts_lists_and_whole_numbers_stay(tmp_path):
    result = {**RESULT, 'learning': {'findings': ['a'], 'origin': 'b', 'n': 3, 'share': np.nan}}
    assert write(tmp_path / 'metrics.json', result=result)['learning'] == {
        'findings': ['a'], 'origin': 'b', 'n': 3, 'share': None}


def test_the_iteration_of_the_best_score_stays_an_integer(tmp_path):
    best = {'iteration': 8, 'map': .5}
    written = write(tmp_path / 'metrics.json', result={**RESULT, 'best': best}, running=True)
    assert written['best'] == best and isinstance(written['best']['iteration'], int)
    assert written['running'] is True


@pytest.mark.parametrize('mean', [float('nan'), None], ids=['nan', 'none'])
def test_unknown_mean_is_null(tmp_path, mean):
    assert write(tmp_path / 'metrics.json', result={'map': mean, 'ap': {}})['map'] is None


def test_metrics_tell_when_and_how_they_were_made(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, 'argv', ['/a/path/train.py', '--data', 'my photos'])
    written = write(tmp_path / 'metrics.json')
    assert written['command'] == "python train.py --data 'my photos'"
    assert datetime.fromisoformat(written['date']).utcoffset() == timedelta(0)
    assert written['versions']['numpy'] == np.__version__
    assert set(written['versions']) == {
        'python', 'numpy', 'chainer', 'chainercv', 'cupy', 'opencv', 'multibox'}


def test_folder_that_does_not_exist_is_named(tmp_path):
    with pytest.raises(UserError, match=r'nowhere/metrics\.json: cannot be written'):
        write(tmp_path / 'nowhere' / 'metrics.json')


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """A git repository with one commit, which ``metrics`` takes for its own checkout."""
    if shutil.which('git') is None:
        pytest.skip('needs git')

    def git(*command):
        subprocess.run(['git', '-C', tmp_path, '-c', 'user.name=a', '-c', 'user.email=a@b',
                        *command], check=True, capture_output=True)

    module = tmp_path / 'multibox' / 'report' / 'metrics.py'
    module.parent.mkdir(parents=True)
    module.touch()
    git('init')
    git('add', '.')
    git('commit', '-m', 'all', '--no-gpg-sign')
    monkeypatch.setattr(metrics, '__file__', str(module))
    return tmp_path


def test_commit_of_a_clean_checkout(checkout):
    assert len(metrics.versions()['multibox']) == 40


def test_commit_of_a_changed_checkout_is_marked(checkout):
    (checkout / 'multibox' / 'report' / 'metrics.py').write_text('changed')
    assert metrics.versions()['multibox'][40:] == '-dirty'


def test_repository_around_an_installed_package_is_not_its_commit(checkout, monkeypatch):
    module = checkout / 'site-packages' / 'multibox' / 'report' / 'metrics.py'
    module.parent.mkdir(parents=True)
    monkeypatch.setattr(metrics, '__file__', str(module))
    assert metrics.versions()['multibox'] == multibox.__version__
