"""Every score in the README is the one in the file it names."""
import json
import pathlib
import re

import pytest

ROOT = pathlib.Path(__file__).parents[1]
README = (ROOT / 'README.md').read_text(encoding='utf-8')
ROWS = re.findall(r'^\|.*\| (0\.\d+) \|.*\]\((experiments/\S+\.json)\) \|$', README, re.MULTILINE)


def test_the_table_of_scores_is_there():
    assert len(ROWS) >= 3


@pytest.mark.parametrize('score, path', ROWS)
def test_a_score_is_the_one_in_its_file(score, path):
    assert float(score) == round(json.loads((ROOT / path).read_text())['map'], 3)


@pytest.mark.parametrize('path', re.findall(r'\]\(((?!http)[^)#]+)\)', README))
def test_a_linked_file_is_there(path):
    assert (ROOT / path).exists()
