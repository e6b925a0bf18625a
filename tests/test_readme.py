"""The README: its Python runs, its scores are those of the named files, its links lead on."""
import json
import pathlib
import re
import statistics

import multibox
from experiments import comparison
from experiments.ablations.train import AXES as ABLATIONS
from experiments.bccd.train import AXES as BCCD
from experiments.speed import summary

import cv2
import numpy as np
import pytest

ROOT = pathlib.Path(__file__).parents[1]
README = (ROOT / 'README.md').read_text(encoding='utf-8')
ROWS = re.findall(r'^\|.*\| (0\.\d+) \|.*\]\((experiments/\S+\.json)\) \|$', README, re.MULTILINE)
BLOCKS = re.findall(r'^```python\n(.*?)^```$', README, re.MULTILINE | re.DOTALL)


def test_the_python_runs_as_it_stands(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'result').mkdir()
    multibox.save_model('result/model.npz', multibox.make_detector('slim300', 2), 'slim300',
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
    runs = comparison.read_scores(ROOT / 'experiments/ablations', ABLATIONS)['k']['3']
    text = ' '.join(README.split())
    mean, deviation = mean_and_deviation(runs).split()
    assert f'the built-in set gives {mean} (standard deviation {deviation[1:-1]};' in text
    assert f'the third seed is {runs[2]:.3f}' in text


def test_the_speeds_are_those_of_their_table():
    rows = [row.split(' | ') for row in summary.overview().splitlines()]
    speeds = {row[0].strip('| '): row[3] for row in rows}
    text = ' '.join(README.split())
    for case in 'the loss, SSD300, 32 images', 'forward and backward of SSD300, 4 images, `onednn`':
        speed, spread = speeds[case].strip().split(' ', 1)
        assert f'{speed} times as fast' in text and spread in text


def test_the_scores_on_photographs_are_those_of_their_runs():
    runs = comparison.read_scores(ROOT / 'experiments/bccd', BCCD)['iteration']['4000']
    text = ' '.join(README.split())
    assert f'BCCD {mean_and_deviation(runs)}' in text
    assert f'are {runs[1]:.3f} and {runs[2]:.3f}' in text


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
