"""evaluate.py without --data takes the data of the run that wrote the network."""
import json
import shutil

import evaluate
from multibox.data.drawings import CLASSES
from multibox.errors import UserError
from multibox.networks import make_detector
from multibox.weights import save_model

import pytest


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Function that makes a run's folder, named run, and evaluates its network without --data.

    It returns the arguments with which evaluate.py loads the data.
    """
    monkeypatch.chdir(tmp_path)

    class Loaded(Exception):
        pass

    def load(folder, **more):
        raise Loaded(folder, more)
    monkeypatch.setattr(evaluate, 'load_data', load)

    def evaluate_run(*flags, names=tuple(CLASSES), **files):
        (tmp_path / 'run').mkdir()
        save_model('run/model.npz', make_detector('slim300', len(names)), 'slim300', names)
        for name, content in files.items():
            (tmp_path / f'run/{name}.json').write_text(json.dumps(content))
        with pytest.raises(Loaded) as loaded:
            evaluate.main(['--model', 'run/model.npz', *flags])
        folder, more = loaded.value.args
        return folder and str(folder), more['split']
    return evaluate_run


def test_the_settings_beside_the_network_name_the_data(run, data, tmp_path, capsys):
    shutil.copytree(data, tmp_path / 'photos')
    assert run(settings={'data': 'photos', 'split': '07'},
               metrics={'settings': {'data': 'other'}}) == ('photos', '07')
    assert capsys.readouterr().out == (
        'no --data: using photos with --split 07, the data of the run (from run/settings.json)\n')


def test_metrics_alone_name_the_data_too(run, data):
    assert run(metrics={'settings': {'data': str(data)}}) == (str(data), '07+12')


def test_data_that_are_given_are_taken(run, data):
    assert run('--data', str(data), settings={'data': 'photos', 'split': '07'}) == (
        str(data), '07+12')


@pytest.mark.parametrize('files', [{}, {'settings': {'data': None}}, {'settings': ['?']}],
                         ids=['no file', 'built-in', 'another file'])
def test_the_built_in_set_fits_its_classes(run, files):
    assert run(names=(*CLASSES, 'cat'), **files) == (None, '07+12')


def test_without_a_run_other_classes_need_their_data(run):
    with pytest.raises(UserError, match=r'model\.npz: no file beside it names the data .*--data$'):
        run(names=('cat', 'dog'))


def test_data_that_are_not_in_this_folder_are_named(run, tmp_path):
    with pytest.raises(UserError, match=f'was trained on photos, which is not in {tmp_path}; give'):
        run(settings={'data': 'photos'})


def test_data_that_are_gone_are_named(run, tmp_path):
    with pytest.raises(UserError, match=r'the run was trained on /.*gone, which is absent; give'):
        run(settings={'data': str(tmp_path / 'gone')})


def test_a_split_without_test_images_asks_for_others(run, data):
    with pytest.raises(UserError, match=r'--split 07\+\+12, which leaves no .* --submission, or'):
        run(settings={'data': str(data), 'split': '07++12'})


def test_a_submission_is_of_the_data_of_the_run(run, data, monkeypatch):
    class Submitted(Exception):
        pass

    def submit(folder, max_pixels):
        raise Submitted(str(folder))
    monkeypatch.setattr(evaluate, 'voc2012_test', submit)
    with pytest.raises(Submitted, match=str(data)):
        run('--submission', settings={'data': str(data), 'split': '07++12'})


def test_a_name_that_no_folder_can_have_is_absent(run):
    with pytest.raises(UserError, match='which is not in '):
        run(settings={'data': 'x' * 300})
