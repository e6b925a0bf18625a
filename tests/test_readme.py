"""Every score in the README is the one in the file it names."""
import json
import pathlib
import re
import statistics

from experiments import comparison
from experiments.ablations.train import AXES as ABLATIONS
from experiments.bccd.train import AXES as BCCD
from experiments.formulations.train import AXES
from experiments.speed import summary
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
    scores = comparison.read_scores(ROOT / 'experiments/formulations', AXES)
    table = comparison.table('loss', scores['loss'])
    assert len(table.splitlines()) == 2 + len(LOSSES) and table in README


def test_the_ablations_are_those_of_their_runs():
    scores = comparison.read_scores(ROOT / 'experiments/ablations', ABLATIONS)
    page = (ROOT / 'experiments/ablations/README.md').read_text(encoding='utf-8')
    assert list(scores) == list(ABLATIONS)
    assert all(comparison.table(axis, variants) in page for axis, variants in scores.items())
    text = ' '.join(README.split())
    for axis, variant in (*(('k', k) for k in ABLATIONS['k']), ('augmentation', 'flip')):
        assert mean_and_deviation(scores[axis][variant]) in text


def test_the_scores_on_photographs_are_those_of_their_runs():
    runs = comparison.read_scores(ROOT / 'experiments/bccd', BCCD)['iteration']['4000']
    text = ' '.join(README.split())
    assert f'BCCD {mean_and_deviation(runs)}' in text
    assert f'are {runs[1]:.3f} and {runs[2]:.3f}' in text


def mean_and_deviation(runs):
    values = list(runs.values())
    assert len(values) == 3
    return f'{statistics.mean(values):.3f} ({statistics.stdev(values):.3f})'


def test_the_disagreements_are_those_of_their_files():
    for name, text in (('built-in', '8 of\n47,779'), ('bccd', '48 of 129,499')):
        totals = json.loads((ROOT / f'experiments/formulations/matching-{name}.json').read_text())
        n_box = totals['disagreements']['bipartite, forced']['boxes']
        assert f'{n_box} of {totals["positives"]["bipartite"]:,}' == text.replace('\n', ' ')
        assert text in README


def test_the_speeds_of_many_processes_are_those_of_their_file():
    one, two = json.loads((ROOT / 'experiments/scaling/measured.json').read_text())['results']
    text = ' '.join(README.split())
    for row in one, two:
        low, high = row['images_per_second_range']
        assert f'{row["images_per_second"]:.1f}' in text and f'({low:.1f} to {high:.1f})' in text
    assert f'{two["exchange_bytes"] / 1e6:.1f} MB exchanged in' in text
    assert (f'{two["exchange_seconds"] * 1e3:.1f} ms of a step of '
            f'{two["step_seconds"] * 1e3:.0f} ms') in text


def test_the_computed_efficiencies_are_those_of_their_file():
    computed = json.loads((ROOT / 'experiments/scaling/computed.json').read_text())
    for link, text in (('InfiniBand HDR, 25 GB/s', '4 % of a step'),
                       ('10 Gbit Ethernet, 1.25 GB/s', '38 % over 10 Gbit')):
        efficiency = computed['efficiency'][link][-1]['efficiency']
        assert text in ' '.join(README.split())
        assert text.startswith(f'{100 - 100 * efficiency:.0f} %')


def test_the_speeds_are_those_of_their_files():
    assert summary.overview() in README
    page = (ROOT / 'experiments/speed/README.md').read_text(encoding='utf-8')
    tables = list(summary.tables())
    assert len(tables) == 7 and all(table in page for table in tables)


@pytest.mark.parametrize('path', re.findall(r'\]\(((?!http)[^)#]+)\)', README))
def test_a_linked_file_is_there(path):
    assert (ROOT / path).exists()
