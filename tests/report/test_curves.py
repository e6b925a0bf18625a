"""Curves of a run from its log."""
import json
import sys

from multibox.errors import UserError
from multibox.report import curves, log

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image


def make_log(n_entry, lr=lambda iteration: 1e-3, every=None):
    """Entries of Chainer's log, one per 10 iterations. Every ``every``-th has an evaluation."""
    entries = [{'iteration': i, 'main/loss': 5.0, 'main/loss/loc': 2.0, 'main/loss/conf': 3.0,
                'lr': lr(i)} for i in range(10, 10 * n_entry + 1, 10)]
    for entry in entries[::every] if every else ():
        entry['validation/main/map'] = 0.5
    return entries


def plot(out, entries):
    (out / 'log').write_text(json.dumps(entries))
    curves.plot_curves(out)
    return {path.name for path in out.iterdir()} - {'log'}


@pytest.mark.filterwarnings('error')
@pytest.mark.parametrize('n_entry', [0, 1, 2, 200])
def test_curves_of_any_length_are_pictures(tmp_path, n_entry):
    assert plot(tmp_path, make_log(n_entry)) == {'loss.png'}
    with Image.open(tmp_path / 'loss.png') as picture:
        picture.verify()


def test_first_evaluation_brings_the_map_curve(tmp_path):
    assert plot(tmp_path, make_log(1, every=1)) == {'loss.png', 'map.png'}


@pytest.mark.filterwarnings('error')
def test_nan_in_the_log_does_not_stop_the_curves(tmp_path):
    entries = make_log(100, every=1)
    for entry in entries:
        entry.update({'main/loss': float('nan'), 'validation/main/map': float('nan')})
    assert plot(tmp_path, entries) == {'loss.png', 'map.png'}


def test_run_without_a_log_has_no_curves(tmp_path):
    curves.plot_curves(tmp_path)
    assert not list(tmp_path.iterdir())


def test_curves_leave_pyplot_alone(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, 'matplotlib.pyplot', None)  # importing pyplot now fails
    plot(tmp_path, make_log(2, every=1))


def test_curves_that_cannot_be_written_are_named(tmp_path):
    (tmp_path / 'loss.png').mkdir()
    with pytest.raises(UserError, match=r'loss\.png: cannot be written'):
        plot(tmp_path, make_log(2))


def drawn_losses(entries):
    axes = Figure().add_subplot()
    curves._draw_losses(axes, entries)
    return axes


def cut_marks(entries):
    return {text.get_text(): text.xy[0] for text in drawn_losses(entries).texts}


def test_cuts_of_the_learning_rate_are_marked():
    entries = make_log(12, lr=lambda i: 1e-3 if i <= 50 else 1e-4 if i <= 80 else 1e-5)
    assert cut_marks(entries) == {'lr 1e-04': 50, 'lr 1e-05': 80}


def test_cut_between_two_entries_is_marked_once():
    entries = make_log(12, lr=lambda i: 1e-3 if i < 50 else 5.5e-4 if i == 50 else 1e-4)
    assert cut_marks(entries) == {'lr 1e-04': 50}


def test_warm_up_is_not_a_cut():
    assert not cut_marks(make_log(12, lr=lambda i: i * 1e-5))


def test_precision_is_drawn_over_recall_in_one_colour_per_class():
    curves_of = {'yak': None, 'cat': ([1, .5], [.2, .4]), 'dog': ([1, .9], [.1, .3])}
    axes = Figure().add_subplot()
    curves._draw_precision_recall(axes, curves_of, {'yak': None, 'cat': .25, 'dog': .125})
    assert [(*line.get_xdata(), *line.get_ydata()) for line in axes.lines] == [
        (.2, .4, 1, .5), (.1, .3, 1, .9)]
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ['cat 0.250', 'dog 0.125']
    assert [line.get_color() for line in axes.lines] == [*curves.COLORS[1:3]]


def test_of_many_classes_the_best_and_the_worst_are_named():
    ap = {str(n): n / 80 for n in np.random.RandomState(0).permutation(80)}
    axes = Figure().add_subplot()
    curves._draw_precision_recall(axes, {name: ([1, ap[name]], [0, 1]) for name in ap}, ap)
    assert [text.get_text().split()[0] for text in axes.get_legend().get_texts()] == [
        str(n) for n in (*range(79, 69, -1), *range(9, -1, -1))]
    assert len(axes.lines) == 80 + 20
    few = {name: ([1, 1], [0, 1]) if int(name) < 15 else None for name in ap}
    axes.clear()
    curves._draw_precision_recall(axes, few, ap)
    assert len(axes.get_legend().get_texts()) == 15


@pytest.mark.parametrize('n_entry, n_line', [(60, 3), (61, 6)], ids=['few', 'many'])
def test_many_points_are_drawn_raw_and_smoothed(n_entry, n_line):
    assert len(drawn_losses(make_log(n_entry)).lines) == n_line


def test_smoothing_is_the_mean_of_the_last_values_that_are_known():
    values = np.random.RandomState(0).rand(50)
    values[[0, 7, 8, 30]] = np.nan
    slow = [np.nanmean([0, *values[i - 19:i + 1]][1:] if i >= 19 else values[:i + 1])
            for i in range(1, 50)]
    np.testing.assert_allclose(log.smooth(values, width=20)[1:], slow)
