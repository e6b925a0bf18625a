"""Every score in the README is the one in the file it names."""
import json
import pathlib
import re

from experiments.formulations import summary
from multibox.losses import LOSSES

import pytest

ROOT = pathlib.Path(__file__).parents[1]
README = (ROOT / 'README.md').read_text(encoding='utf-8')
ROWS = re.findall(r'^\|.*\| (0\.\d+) \|.*\]\((experiments/\S+\.json)\) \|$', README, re.MULTILINE)


def test_the_table_of_scores_is_there():
    assert len(ROWS) >= 3


@pytest.mark.parametrize('score, path', ROWS)
def test_a_score_is_the_one_in_its_file(score, path):
    assert float(score) == round(json.loads((ROOT / path).read_text())['map'], 3)


def test_the_table_of_losses_is_that_of_the_runs():
    table = summary.table(summary.read_scores())
    assert len(table.splitlines()) == 2 + len(LOSSES) and table in README


def test_the_disagreements_are_those_of_their_files():
    for name, text in (('built-in', '8 of\n47,779'), ('bccd', '48 of 129,499')):
        totals = json.loads((ROOT / f'experiments/formulations/matching-{name}.json').read_text())
        n_box = totals['disagreements']['bipartite, forced']['boxes']
        assert f'{n_box} of {totals["positives"]["bipartite"]:,}' == text.replace('\n', ' ')
        assert text in README


@pytest.mark.parametrize('path', re.findall(r'\]\(((?!http)[^)#]+)\)', README))
def test_a_linked_file_is_there(path):
    assert (ROOT / path).exists()
