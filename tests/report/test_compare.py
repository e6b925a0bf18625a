"""python -m multibox.report compare: the page and the table of several runs, and bad input."""
import html
import json
import pathlib
import re
import shlex

from multibox.errors import UserError
from multibox.report.__main__ import main
from multibox.report.compare import compare_runs
from tests.support.runs import write_run

import pytest
from markupsafe import escape

DOCS = pathlib.Path(__file__).parents[2] / 'docs/data.md'
BETTER = 'lr <b>high'


@pytest.fixture(scope='module')
def runs(tmp_path_factory):
    """A run, a better one with a name that is markup, and one that has not ended."""
    folder = tmp_path_factory.mktemp('runs')
    return [write_run(folder / 'base'),
            write_run(folder / BETTER, .7, settings={'lr': .01, 'alpha': 2.0, 'difficult': True},
                      metrics={'ap': {'cat': .5, 'dog': .9}, 'best': {'map': .75},
                               'coco': {'map': .35}, 'threshold': .25}),
            write_run(folder / 'going', n=240, ended=False, settings={'seed': 7})]


@pytest.fixture(scope='module')
def page(runs, tmp_path_factory):
    return compare(runs, tmp_path_factory.mktemp('page') / 'comparison.html')


def compare(runs, out):
    compare_runs(runs, out)
    return out.read_text(encoding='utf-8')


def table(page, heading):
    """The rows of the first table of a section, as lists of texts."""
    part = re.search(rf'<h2>{heading}</h2>(.*?)</section>', page, re.DOTALL)[1]
    return [[html.unescape(re.sub('<[^>]*>', '', cell)).strip()
             for cell in re.findall(r'<t[hd][^>]*>(.*?)</t[hd]>', row, re.DOTALL)]
            for row in re.findall('<tr>(.*?)</tr>', part, re.DOTALL)]


def test_a_table_has_the_scores_of_each_run(page):
    header, *rows = table(page, 'Runs')
    assert header == ['run', 'mAP', 'best mAP', 'COCO AP', 'threshold', 'iterations', 'duration',
                      'images/s', 'test images', 'test objects', 'device', 'date']
    assert rows == [
        ['base', '0.6000', '-', '-', '-', '400', '3 min', '16.0', '40', '90', 'cpu',
         '2026-05-06 07:08'],
        [BETTER, '0.7000', '0.7500', '0.3500', '0.2500', '400', '3 min', '16.0', '40', '90', 'cpu',
         '2026-05-06 07:08'],
        ['going', '0.5000', '-', '-', '-', '240 of 400', '2 min', '16.0', '-', '-', 'cpu', '-']]


def test_only_settings_that_differ_are_listed(page):
    assert table(page, 'Settings that differ') == [
        ['setting', 'base', BETTER, 'going'],
        ['lr', '0.003', '0.01', '0.003'],
        ['alpha', '1.0', '2.0', '1.0'],
        ['seed', '0', '0', '7'],
        ['difficult', '-', 'yes', '-'],
        ['hardware', *['a CPU, 2 cores, 1 process'] * 2, '-']]


def test_the_best_ap_of_a_class_is_marked(page):
    assert re.findall(r'class="best">([\d.]+)', page) == ['0.7000', '0.9000', '0.7000']
    assert table(page, 'Average precision by class')[1] == ['cat', '0.7000', '0.5000', '-']


def test_each_run_has_a_line_in_both_pictures(page):
    pictures = re.findall('<figure.*?</figure>', page, re.DOTALL)
    assert [picture.count('<polyline') for picture in pictures] == [3, 3]
    # Of the points of a line, the last one stays in the dict.
    lines = [dict(re.findall('<title>([^<]*): ([^<]*) at iteration', picture))
             for picture in pictures]
    names = ['base', str(escape(BETTER)), 'going']
    assert [name for picture in lines for name in picture] == names * 2
    assert list(lines[0].values()) == ['0.6', '0.7', '0.5']


def test_the_loss_on_test_images_has_a_picture_of_its_own(runs, tmp_path):
    other = write_run(tmp_path / 'other')
    log = json.loads((other / 'log').read_text())
    log[-1]['validation/main/loss'] = 2.5
    (other / 'log').write_text(json.dumps(log))
    page = compare([runs[0], other], tmp_path / 'page.html')
    assert 'Loss on the test images' in page and 'other: 2.5 at iteration 400' in page


def test_names_are_escaped_and_nothing_is_loaded(page):
    assert '<b>high' not in page and str(escape(BETTER)) in page
    assert not re.search(r'src=|href=|http|url\(|@import|<script', page)


def test_runs_of_the_same_data_have_no_warning(page):
    assert 'class="warning"' not in page
    assert '40 test images with 90 objects' in page and 'going has not ended' in page
    assert 'the heights of its curves do not compare' in page  # alpha differs


@pytest.mark.parametrize('settings, metrics, text', [
    ({'annotations': 5}, {}, 'different data'),
    ({}, {'ap': {'cat': .5, 'cow': .9}}, 'different classes'),
    ({}, {'test': {'images': 41, 'objects': 90}}, 'different test images')])
def test_a_warning_comes_first_if_scores_do_not_compare(runs, tmp_path, settings, metrics, text):
    other = write_run(tmp_path / 'other', settings=settings, metrics=metrics)
    said = compare_runs([runs[0], other], tmp_path / 'page.html')
    page = (tmp_path / 'page.html').read_text(encoding='utf-8')
    assert said.startswith('warning: ') and text in said.splitlines()[0]
    assert text in page and page.index('class="warning"') < page.index('<h2>')


def test_an_evaluation_has_neither_curves_nor_iterations(tmp_path):
    runs = [write_run(tmp_path / name / 'evaluation', metrics={'iteration': None})
            for name in 'ab']
    for run in runs:
        (run / 'log').unlink()
    page = compare(runs, tmp_path / 'page.html')
    assert '<svg' not in page and 'iterations' not in table(page, 'Runs')[0]
    assert [row[0] for row in table(page, 'Runs')[1:]] == list(map(str, runs))  # one name


def test_the_score_of_an_interrupted_run_is_its_last(tmp_path, runs):
    stopped = write_run(tmp_path / 'stopped', .4, n=240, metrics={'running': True})
    row = table(compare([stopped, runs[0]], tmp_path / 'page.html'), 'Runs')[1]
    assert row[:3] == ['stopped', '0.4000', '240 of 400']


def test_the_terminal_has_a_small_table(runs, tmp_path, capsys):
    main(['compare', *map(str, runs[:2]), '--out', str(tmp_path / 'new' / 'c.html')])
    assert capsys.readouterr()[0].splitlines() == [
        'run            mAP  best mAP  COCO AP  threshold  iterations  duration',
        'base        0.6000         -        -          -         400     3 min',
        'lr <b>high  0.7000    0.7500   0.3500     0.2500         400     3 min',
        f'written to {tmp_path / "new" / "c.html"}']


def test_the_commands_of_the_documentation_run(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for name in ('result', 'result-2', 'result-3/evaluation'):
        write_run(tmp_path / name)
    text = DOCS.read_text(encoding='utf-8')
    commands = re.findall(r'^    python -m multibox\.report (.*)$', text, re.MULTILINE)
    assert len(commands) == 2
    for command in commands:
        (tmp_path / 'comparison.html').unlink(missing_ok=True)
        main(shlex.split(command))
        assert (tmp_path / 'comparison.html').exists()


def test_an_earlier_comparison_is_replaced_and_nothing_else_is(runs, tmp_path):
    out = tmp_path / 'page.html'
    first = compare(runs[:2], out)
    assert compare(runs, out) != first
    out.write_text('my notes')
    with pytest.raises(UserError, match='exists, and is no page that this command wrote'):
        compare_runs(runs, out)
    assert out.read_text() == 'my notes'
    with pytest.raises(UserError, match='is a folder'):
        compare_runs(runs, tmp_path)


def test_every_bad_folder_has_one_line(runs, tmp_path):
    bad = {name: tmp_path / name for name in ('empty', 'damaged', 'other', 'list', 'file', 'log')}
    for folder in bad.values():
        folder.mkdir()
    bad['file'] = tmp_path / 'file.txt'
    bad['file'].write_text('')
    (bad['damaged'] / 'metrics.json').write_text('{"map": ')
    (bad['other'] / 'metrics.json').write_text('{"accuracy": 1}')
    (bad['list'] / 'metrics.json').write_text('[]')
    (bad['log'] / 'log').write_text('[1]')
    with pytest.raises(UserError) as caught:
        compare_runs([*bad.values(), tmp_path / 'none', runs[0], runs[0].parent / '.' / 'base'],
                     tmp_path / 'page.html')
    lines = str(caught.value).splitlines()
    for line, (name, text) in zip(lines, {
            'empty': 'no metrics.json and no log', 'damaged/metrics.json': 'is damaged',
            'other/metrics.json': 'holds no map', 'list/metrics.json': 'holds no JSON object',
            'file.txt': 'is a file', 'log/log': 'is not the log', 'none': 'no such folder',
            '../base': 'is given twice'}.items(), strict=True):
        assert text in line and (name in line or name == '../base')


def test_one_run_is_not_enough(runs, tmp_path):
    with pytest.raises(UserError, match=r'base: is the only run'):
        compare_runs(runs[:1], tmp_path / 'page.html')


@pytest.mark.parametrize('words, message', [
    ([], 'python -m multibox.report: the following arguments are required: compare'),
    (['comprae', 'a'], 'did you mean compare?'), (['compare', 'a', '--ouput', 'c'], '--out?')])
def test_a_mistake_in_the_command_ends_in_one_line(words, message, capsys):
    with pytest.raises(SystemExit) as ended:
        main(words)
    error = capsys.readouterr()[1]
    assert ended.value.code == 2 and message in error and error.count('\n') == 1


def test_a_log_that_holds_nan_is_read(runs, tmp_path):
    log = json.loads((runs[0] / 'log').read_text())
    log[3]['main/loss'] = float('nan')
    other = write_run(tmp_path / 'other')
    (other / 'log').write_text(json.dumps(log))
    assert 'nan' not in compare([runs[0], other], tmp_path / 'page.html')
