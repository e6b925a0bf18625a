"""The charts of the report: points, axes and lines."""
from multibox.evaluation import ThresholdCurve
from multibox.report import charts
from multibox.report.page import TEMPLATES
from multibox.report.svg import BOTTOM, HEIGHT, LEAST, LEFT, MOST, RIGHT, TOP, Line, chart

import numpy as np
import pytest


def line(x, y, name='a'):
    return Line(name, np.array(x, float), np.array(y, float), 'red')


def points(drawn, n=0):
    return drawn['lines'][n][1]


def test_points_lie_between_the_edges():
    drawn = chart([line([0, 5, 10], [0, .25, 1])], 'x', 'y', y_max=1)
    assert points(drawn) == [
        (LEFT, BOTTOM, 0, 0), ((LEFT + RIGHT) / 2, pytest.approx(.75 * BOTTOM + .25 * TOP), 5, .25),
        (RIGHT, TOP, 10, 1)]
    assert drawn['x_ticks'][0] == (LEFT, '0') and drawn['x_ticks'][-1] == (RIGHT, '10')


def test_a_logarithmic_axis_has_equal_steps_per_factor():
    drawn = chart([line([0, 1, 2], [.01, .1, 1])], 'x', 'y', log=True)
    low, middle, high = (y for _, y, _, _ in points(drawn))
    assert low - middle == pytest.approx(middle - high, abs=.2)
    assert [label for _, label in drawn['y_ticks']] == [
        '0.01', '0.02', '0.03', '0.05', '0.1', '0.2', '0.3', '0.5', '1']


@pytest.mark.filterwarnings('error')
@pytest.mark.parametrize('log', [False, True])
@pytest.mark.parametrize('y', [[], [np.nan], [np.inf, np.nan]], ids=['none', 'nan', 'infinite'])
def test_without_a_known_value_there_is_no_chart(y, log):
    assert chart([line(range(len(y)), y)], 'x', 'y', log=log) is None


@pytest.mark.filterwarnings('error')
@pytest.mark.parametrize('log', [False, True])
def test_one_point_and_points_of_0_are_drawn(log):
    assert len(points(chart([line([0], [1])], 'x', 'y', log=log))) == 1
    assert len(points(chart([line([0, 0], [0, 1])], 'x', 'y', log=log))) == (1 if log else 2)
    assert chart([line([0], [0])], 'x', 'y', log=log) is None or not log


def test_many_points_are_thinned_and_keep_the_ends():
    x = np.arange(1, 100001)
    kept = points(chart([line(x, x)], 'x', 'y'))
    assert MOST - 1 <= len(kept) <= MOST and (kept[0][2], kept[-1][2]) == (1, 100000)
    many = chart([line(x, x)] * 100, 'x', 'y')
    assert LEAST - 1 <= len(points(many)) <= LEAST


def test_a_line_leaves_out_what_is_not_finite_and_stays_short():
    n = 10 * MOST
    kept = points(chart([line(range(1, n + 1), [np.nan, *[2.] * (n - 1)])], 'x', 'y', log=True))
    assert MOST - 1 <= len(kept) <= MOST and np.isfinite(kept).all()


@pytest.mark.parametrize('log', [True, False])
@pytest.mark.parametrize('values', [[5], [1e-5], [3.3, 3.4], [1e-3, 1e9]], ids=str)
def test_any_range_of_values_has_numbers_at_its_axis(values, log):
    drawn = chart([line([1, 2][:len(values)], values)], 'x', 'y', log=log)
    assert 1 < len(drawn['y_ticks']) < 12 and np.isfinite(points(drawn)).all()
    for _, y, _, _ in points(drawn):
        assert 0 < y < HEIGHT


def test_a_legend_does_not_repeat_the_name_of_the_axis():
    draw = TEMPLATES.get_template('chart.html').module.draw
    legends = ['class="legend"' in draw(chart([line([0, 1], [0, 1])], 'x', label), '')
               for label in ('a', 'loss')]
    assert legends == [False, True]


def test_text_is_escaped():
    markup = TEMPLATES.get_template('chart.html').module.draw(
        chart([line([0, 1], [0, 1], '<b>'), line([0, 1], [0, 1], '"')], 'x', 'y'), '<"')
    assert '<b>' not in markup and 'x. &lt;&#34;"' in markup
    assert '<title>&lt;b&gt;: 1 at x 1</title>' in markup


def log(n_entry, **changed):
    return [{'iteration': n, 'elapsed_time': n / 4, 'main/loss': 3., 'main/loss/loc': 1.,
             'main/loss/conf': 2., 'lr': 1e-3, **changed} for n in range(1, n_entry + 1)]


@pytest.mark.parametrize('n_entry, n_line', [(60, 3), (61, 6)], ids=['few', 'many'])
def test_many_losses_are_smoothed(n_entry, n_line):
    drawn, text = charts.loss_chart(log(n_entry))
    assert len(drawn['lines']) == n_line and ('Thin lines' in text) == (n_line == 6)
    assert [each.name for each in drawn['legend']] == ['loss', 'loss/loc', 'loss/conf']


def test_cuts_of_the_learning_rate_are_marked():
    (_, text), = charts.loss_chart(log(5) + log(8, lr=1e-4)[5:])[0]['marks']
    assert text == 'lr 1e-04'


def test_the_speed_is_that_between_two_entries():
    entries = [*log(3), {'iteration': 4, 'elapsed_time': 2.75}]
    drawn, _ = charts.speed_chart(entries, batchsize=8)
    assert [y for _, _, _, y in points(drawn)] == pytest.approx([32, 32, 32, 4])


def test_a_log_without_a_name_has_no_chart_of_it():
    for draw in charts.map_chart, charts.loss_chart, charts.learning_rate_chart:
        assert draw([{'iteration': 1}])[0] is None
    assert charts.speed_chart([{'iteration': 1}], 8)[0] is None


def test_the_best_threshold_is_marked():
    curve = ThresholdCurve(*np.array([[.8, .6, .2], [1, .8, .3], [.3, .6, .9], [.4, .7, .5]]))
    drawn, text = charts.threshold_chart(curve, .3)
    assert [mark[1] for mark in drawn['marks']] == ['best F1 0.700 at 0.60']
    assert 'a threshold of 0.60. The counts of this page use 0.3.' in text
    nothing = charts.threshold_chart(ThresholdCurve(*np.zeros((4, 0))), .3)
    assert nothing[0] is None


def test_of_many_classes_the_best_and_the_worst_are_named():
    ap = {str(n): n / 80 for n in range(80)}
    drawn, text = charts.precision_recall_chart(
        {name: (np.array([1, .5]), np.array([.5, 1])) for name in ap} | {'0': None}, ap)
    assert len(drawn['lines']) == 79 and len(drawn['legend']) == 20
    assert drawn['legend'][0].name == '79 0.988' and 'of the 80 classes' in text
