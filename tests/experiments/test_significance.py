"""Paired tests over seeds, against tables of Student's distribution."""
from experiments.significance import compare, quantile, within

import pytest


@pytest.mark.parametrize('df, t', [(1, 12.706), (2, 4.303), (4, 2.776), (9, 2.262), (30, 2.042)])
def test_quantiles_are_those_of_the_tables(df, t):
    assert quantile(.95, df) == pytest.approx(t, abs=1e-3)
    assert within(t, df) == pytest.approx(.95, abs=1e-4)


def test_differences_are_paired_by_seed():
    found = compare({0: .5, 1: .6, 2: .7}, {'b': {0: .4, 1: .51, 2: .59}})['b']
    assert found.mean == pytest.approx(-.1)
    assert found.half_width == pytest.approx(4.303 * .01 / 3 ** .5, rel=1e-3)
    assert found.p == pytest.approx(1 - within(.1 / (.01 / 3 ** .5), 2)) and found.is_significant


def test_spread_seeds_show_nothing():
    assert not compare({0: .5, 1: .6, 2: .7}, {'b': {0: .7, 1: .5, 2: .75}})['b'].is_significant


def test_many_comparisons_need_a_smaller_p():
    baseline = {0: .5, 1: .6, 2: .7}
    clear = {0: .4, 1: .505, 2: .595}  # p = 0.0008
    vague = {0: .5, 1: .6, 2: .71}
    for n, expected in ((1, True), (100, False)):
        variants = {'clear': clear, **{f'vague{i}': vague for i in range(n)}}
        assert compare(baseline, variants)['clear'].is_significant == expected


def test_equal_runs_do_not_differ():
    found = compare({0: .5, 1: .6}, {'same': {0: .5, 1: .6}, 'one': {0: .4}})
    assert set(found) == {'same'} and found['same'].p == 1
