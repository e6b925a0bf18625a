"""The README: its Python runs, its scores are those of the named files, its links lead on."""
import json
import pathlib
import re
import statistics

import multibox
from experiments import comparison
from experiments.photographs.train import AXES as PHOTOGRAPHS
from experiments.speed import summary

import cv2
import numpy as np
import pytest

ROOT = pathlib.Path(__file__).parents[1]
README = (ROOT / 'README.md').read_text(encoding='utf-8')
ROWS = re.findall(
    r'^\|.*\| ([01]\.\d+) \|.*\]\((experiments/\S+\.json)\) \|$', README, re.MULTILINE)
BLOCKS = re.findall(r'^```python\n(.*?)^```$', README, re.MULTILINE | re.DOTALL)


def test_the_python_runs_as_it_stands(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'result').mkdir()
    multibox.save_model('result/best.npz', multibox.make_detector('slim300', 2), 'slim300',
                        ('cat', 'dog'))
    cv2.imwrite('photo.jpg', np.zeros((50, 60, 3), np.uint8))
    assert len(BLOCKS) == 2
    names = {}
    for block in BLOCKS:
        exec(block, names)
    assert names['loc_loss'].array > 0 and names['model'].mean.shape == (3, 1, 1)


def test_the_table_of_scores_is_there():
    assert len(ROWS) >= 3


@pytest.mark.parametrize('score, path', ROWS)
def test_a_score_is_the_one_in_its_file(score, path):
    assert float(score) == round(json.loads((ROOT / path).read_text())['map'], 3)


def test_the_scores_of_the_built_in_set_are_those_of_their_runs():
    runs = {seed: json.loads((ROOT / f'experiments/demo/seed{seed}.json').read_text())['map']
            for seed in range(3)}
    assert f'built-in set {mean_and_deviation(runs)}' in ' '.join(README.split())


def test_the_demo_reaches_its_mark_within_two_minutes():
    run = json.loads((ROOT / 'experiments/demo/seed0.json').read_text())
    assert run['map'] > 0.85 and run['seconds'] < 120


def test_the_speeds_are_those_of_their_table():
    rows = [row.split(' | ') for row in summary.overview().splitlines()]
    speeds = {row[0].strip('| '): row[3] for row in rows}
    text = ' '.join(README.split())
    for case in 'the loss, SSD300, 32 images', 'forward and backward of SSD300, 4 images, `onednn`':
        speed, spread = speeds[case].strip().split(' ', 1)
        assert f'{speed} times as fast' in text and spread in text


@pytest.mark.parametrize('name, text', [
    ('raccoon', 'raccoons'), ('kangaroo', 'kangaroos'), ('bccd', 'blood cells')])
def test_the_scores_on_photographs_are_those_of_their_runs(name, text):
    folder = ROOT / 'experiments/photographs' / name
    runs = comparison.read_scores(folder, PHOTOGRAPHS)['model']['lite300']
    assert f'{text} {mean_and_deviation(runs)}' in ' '.join(README.split())


@pytest.mark.parametrize('path', sorted((ROOT / 'experiments/photographs').glob('*/*/*.json')),
                         ids=lambda path: f'{path.parts[-3]} {path.stem}')
def test_nothing_is_found_in_a_black_image_and_in_noise(path):
    run = json.loads(path.read_text())
    assert max(run['learning']['black'], run['learning']['noise']) < run['threshold']


def test_the_duration_is_that_of_its_run():
    run = json.loads((ROOT / 'experiments/photographs/raccoon/timed.json').read_text())
    assert run['settings']['loader_processes'] == 1  # as a user starts it
    assert f'160 photographs take {run["seconds"] / 60:.0f} minutes' in ' '.join(README.split())


def mean_and_deviation(runs):
    values = list(runs.values())
    assert len(values) == 3
    return f'{statistics.mean(values):.3f} ({statistics.stdev(values):.3f})'


@pytest.mark.parametrize('path', re.findall(r'\]\(((?!http)[^)#]+)\)', README))
def test_a_linked_file_is_there(path):
    assert (ROOT / path).exists()


@pytest.mark.parametrize('heading', re.findall(r'\]\(#([^)]+)\)', README))
def test_the_contents_lead_to_a_heading(heading):
    headings = re.findall(r'^## (.*)$', README, re.MULTILINE)
    assert heading in {re.sub(r'[^a-z0-9 ]', '', line.lower()).replace(' ', '-')
                       for line in headings}
