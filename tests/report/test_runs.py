"""Files of a run that hold other types than those of train.py: one line that names the file."""
import json
import os

from multibox.errors import UserError
from multibox.report.compare import compare_runs
from tests.support.runs import write_run

import pytest

VALUES = [None, 1, 'x', '', [], [[1]], {}, {'a': {}}, True, float('nan'), float('inf'), 10 ** 400,
          '\udc80\x00<script>', [None], 2.5]
METRICS = ['map', 'ap', 'iteration', 'seconds', 'device', 'hardware', 'date', 'test', 'settings',
           'best', 'coco', 'threshold', 'running']


@pytest.fixture(scope='module')
def good(tmp_path_factory):
    return write_run(tmp_path_factory.mktemp('good') / 'good')


def change(path, key, value):
    content = json.loads(path.read_text())
    (content if isinstance(content, dict) else content[-1])[key] = value
    path.write_text(json.dumps(content))


def refused_in_one_line(good, run, out):
    """Compare two runs; return the message of the error, or ''."""
    try:
        compare_runs([good, run], out)
    except UserError as error:
        assert str(run) in str(error) and str(error).count('\n') == 0
        return str(error)
    return ''


@pytest.mark.parametrize('key', METRICS)
def test_an_entry_of_metrics_of_any_type_ends_in_a_line_or_a_page(key, good, tmp_path):
    run = write_run(tmp_path / 'run')
    for value in VALUES:
        change(run / 'metrics.json', key, value)
        refused_in_one_line(good, run, tmp_path / 'x.html')


@pytest.mark.parametrize('name, key, value, words', [
    ('metrics.json', 'date', 20260506, "metrics.json: 'date' holds 20260506, which is no text"),
    ('metrics.json', 'ap', {'cat': '0.5'}, "metrics.json: 'cat' holds \"0.5\", which is no number"),
    ('metrics.json', 'map', float('nan'), "'map' holds NaN"),
    ('metrics.json', 'test', {'images': [1]}, "'images' holds [1], which is no whole number"),
    ('settings.json', 'batchsize', 'x', 'settings.json: \'batchsize\' holds "x"'),
    ('log', 'iteration', 'x', 'log: is not the log of a run: entry 20 has no iteration')])
def test_the_line_names_file_entry_and_value(name, key, value, words, good, tmp_path):
    run = write_run(tmp_path / 'run')
    change(run / name, key, value)
    assert words in refused_in_one_line(good, run, tmp_path / 'x.html')


@pytest.mark.parametrize('ended', [True, False])
@pytest.mark.parametrize('name, key', [
    ('settings.json', 'iteration'), ('settings.json', 'batchsize'), ('settings.json', 'data'),
    ('settings.json', 'annotations'), ('log', 'iteration'), ('log', 'elapsed_time'),
    ('log', 'main/loss'), ('log', 'validation/main/map')])
def test_an_entry_of_the_other_files_of_any_type_too(name, key, ended, good, tmp_path):
    run = write_run(tmp_path / 'run', ended=ended)
    for value in VALUES[::2]:
        change(run / name, key, value)
        refused_in_one_line(good, run, tmp_path / 'x.html')


@pytest.mark.parametrize('name', ['metrics.json', 'settings.json', 'log'])
def test_a_file_that_is_none_is_named(name, good, tmp_path):
    run = write_run(tmp_path / 'run')
    (run / name).unlink()
    os.mkfifo(run / name)
    assert f'{name}: is not a regular file' in refused_in_one_line(good, run, tmp_path / 'x.html')
    (run / name).unlink()
    with open(run / name, 'wb') as file:
        file.truncate(2 ** 30)
    assert f'{name}: is larger than' in refused_in_one_line(good, run, tmp_path / 'x.html')


def test_a_pipe_is_no_page_to_write(good, tmp_path):
    os.mkfifo(tmp_path / 'pipe')
    with pytest.raises(UserError, match='pipe: is not a regular file'):
        compare_runs([good, write_run(tmp_path / 'run')], tmp_path / 'pipe')


def test_a_comparison_of_ten_thousand_classes_is_small(tmp_path):
    ap = {f'class {n}': .5 for n in range(10_000)}
    runs = [write_run(tmp_path / name, metrics={'ap': ap}) for name in 'ab']
    compare_runs(runs, tmp_path / 'x.html')
    page = (tmp_path / 'x.html').read_text()
    assert len(page) < 3e5 and '9,500 more classes, the last ones, are left out.' in page
