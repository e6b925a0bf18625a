"""The curves in the report, each a chart with a text; None if there is nothing to draw."""
from multibox.evaluation.threshold import ThresholdCurve
from multibox.report.curves import LOSS_COLORS, class_colors, grey_classes
from multibox.report.log import MANY, MEAN_AP, TEST_LOSS, learning_rate_cuts, series, speed, trend
from multibox.report.svg import Line, chart

from matplotlib.colors import to_hex

INK, GRAY = 'currentColor', '#b4bac4'  # the colour of the text, and that of lines without a name
BLUE, GREEN, ORANGE = '#2b6cb0', '#2f855a', '#d9730d'


def loss_chart(entries: list[dict]) -> tuple[dict | None, str]:
    """Draw the terms of the loss over the iterations.

    Args:
        entries: from :func:`multibox.report.log.read_log`.

    Returns:
        The content of the template chart.html, and a text.
    """
    lines = []
    for key, color in zip(LOSS_COLORS, (INK, BLUE, ORANGE)):
        lines += _smoothed(key.removeprefix('main/'), *series(entries, key), color)
    text = 'The loss and its two terms.' + _smoothing(lines)
    tested = series(entries, TEST_LOSS)
    if len(tested[0]):
        lines.append(Line('loss, test images', *tested, INK, dashed=True, dots=True))
    cuts = [(cut, f'lr {lr:.0e}') for cut, lr in learning_rate_cuts(entries)]
    return chart(lines, 'iteration', 'loss', log=True, marks=cuts), text


def map_chart(entries: list[dict]) -> tuple[dict | None, str]:
    """Draw mAP over the iterations; arguments and result as for :func:`loss_chart`."""
    iteration, mean_ap = series(entries, MEAN_AP)
    text = f'mAP on the test images, at last {mean_ap[-1]:.4f}.' if len(mean_ap) else ''
    line = Line('mAP', iteration, mean_ap, GREEN, dots=True)
    return chart([line], 'iteration', 'mAP', y_max=1), text


def learning_rate_chart(entries: list[dict]) -> tuple[dict | None, str]:
    """Draw the learning rate; arguments and result as for :func:`loss_chart`."""
    line = Line('learning rate', *series(entries, 'lr'), BLUE)
    return chart([line], 'iteration', 'learning rate', log=True), 'The learning rate.'


def speed_chart(entries: list[dict], batchsize: int) -> tuple[dict | None, str]:
    """Draw the speed over the iterations.

    Args:
        entries: from :func:`multibox.report.log.read_log`.
        batchsize: images per iteration, over all processes.

    Returns:
        As for :func:`loss_chart`.
    """
    lines = _smoothed('images per second', *speed(entries, batchsize), BLUE)
    text = 'Images per second. Evaluations and snapshots count as time.' + _smoothing(lines)
    return chart(lines, 'iteration', 'images per second'), text


def precision_recall_chart(curves: dict, ap: dict) -> tuple[dict | None, str]:
    """Draw the precision of each class over its recall.

    Args:
        curves: from :func:`multibox.evaluation.precision_recall`.
        ap: {class name: average precision by the 11-point rule, or None}.

    Returns:
        As for :func:`loss_chart`.
    """
    colors = class_colors(curves, ap)
    drawn = {name: curve[::-1] for name, curve in curves.items() if curve is not None}
    grey = grey_classes(drawn, colors)
    lines = [Line('', recall, precision, GRAY)
             for recall, precision in map(drawn.__getitem__, grey)]
    for name in filter(drawn.get, colors):
        shown = name if ap[name] is None else f'{name} {ap[name]:.3f}'
        recall, precision = drawn[name]
        lines.append(Line(shown, recall, precision, to_hex(colors[name])))
    text = 'Precision over recall.'
    if len(curves) > 1:
        text += ' The number of a class is its average precision by the 11-point rule.'
    if len(curves) > len(colors):
        text += f' Named are the best and the worst of the {len(curves):,} classes.'
    if len(grey) + len(colors) < len(drawn):
        text += f' Of the other classes, {len(grey)} are shown.'
    return chart(lines, 'recall', 'precision', x_max=1, y_max=1), text


def threshold_chart(curve: ThresholdCurve, threshold: float) -> tuple[dict | None, str]:
    """Draw precision, recall and F1 over the threshold, with the threshold of the best F1.

    Args:
        curve: from :func:`multibox.evaluation.threshold_curve`.
        threshold: the threshold of the page.

    Returns:
        As for :func:`loss_chart`.
    """
    lines = [Line(name, curve.threshold[::-1], values[::-1], color) for name, values, color in (
        ('precision', curve.precision, BLUE), ('recall', curve.recall, ORANGE),
        ('F1', curve.f1, INK))]
    text = 'Precision, recall and F1 of the detections from each threshold on, over all classes.'
    marks = []
    if curve.best is not None:
        best = f'{curve.best:.2f}', f'{curve.f1.max():.3f}'
        marks.append((curve.best, 'best F1 {1} at {0}'.format(*best)))
        text += ' F1 is best, {1}, at a threshold of {0}.'.format(*best)
    text += f' The counts of this page use {threshold:.2g}.'
    return chart(lines, 'threshold', 'share', x_max=1, y_max=1, marks=marks), text


def _smoothed(name, x, y, color):
    """The line of a value, and of many values the mean of the last ones over them in grey."""
    return [Line('', x, y, color)] * (len(y) > MANY) + [Line(name, x, trend(y), color)]


def _smoothing(lines):
    return '' if all(line.name for line in lines) else (
        ' Thin lines are single values, thick ones means of several.')
