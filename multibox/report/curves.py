"""Plots of loss and mAP over the iterations of a run, and of precision over recall."""
import contextlib
from pathlib import Path

from multibox.canvas import plot
from multibox.drawing import COLORS, short_name
from multibox.faults import Faults
from multibox.report.log import (
    MANY,
    MEAN_AP,
    TEST_LOSS,
    learning_rate_cuts,
    read_log,
    series,
    trend,
)

from matplotlib.ticker import LogLocator, NullFormatter

MAX_GREY = 200  # curves without a name
LOSS_COLORS = {'main/loss': 'black', 'main/loss/loc': 'tab:blue', 'main/loss/conf': 'tab:orange'}


def plot_curves(out: str | Path) -> None:
    """Plot ``out/loss.png`` and, after an evaluation, ``out/map.png``.

    This function needs neither a display nor pyplot's global state, so it may run during training.

    Args:
        out: folder with Chainer's ``log``; without a log nothing is written.

    Raises:
        UserError: the log cannot be read, or a picture cannot be drawn. The other one is.
    """
    out = Path(out)
    if not (out / 'log').exists():
        return
    entries = read_log(out)
    iteration, mean_ap = series(entries, MEAN_AP)
    with Faults() as faults:
        with faults.of(out / 'loss.png'), _axes(out / 'loss.png', 'loss') as axes:
            _draw_losses(axes, entries)
        if len(iteration):
            with faults.of(out / 'map.png'), _axes(out / 'map.png', 'mAP') as axes:
                axes.plot(iteration, mean_ap, color='tab:green', marker='o', markersize=4)
                axes.annotate(f'{mean_ap[-1]:.4f}', (iteration[-1], mean_ap[-1]), xytext=(0, 8),
                              textcoords='offset points', ha='center', weight='bold')
                axes.set_ylim(0, 1.1)  # room for the number at a perfect 1


def class_colors(curves: dict, ap: dict) -> dict:
    """Choose the classes that get a colour and a name.

    Args:
        curves: from :func:`multibox.evaluation.precision_recall`.
        ap: {class name: average precision, or None}.

    Returns:
        {class name: (red, green, blue), each from 0 to 1}: all classes in the colours of their
        boxes in detections.png. If there are more classes than colours, the best and the worst.
    """
    if len(curves) <= len(COLORS):
        return dict(zip(curves, COLORS))
    ranked = sorted((name for name in curves if curves[name] is not None),
                    key=lambda name: ap[name], reverse=True)
    half = len(COLORS) // 2
    return dict(zip(dict.fromkeys(ranked[:half] + ranked[-half:]), COLORS))


def grey_classes(curves: dict, colors: dict) -> list[str]:
    """The classes whose curves have no name: at most :data:`MAX_GREY`, at equal distances."""
    others = [name for name in filter(curves.get, curves) if name not in colors]
    return others[::-(-len(others) // MAX_GREY) or 1]


def plot_precision_recall(path: str | Path, curves: dict, ap: dict) -> None:
    """Plot the precision of each class over its recall.

    If there are more classes than colours, the best and the worst classes get a colour and a name,
    and the others are grey.

    Args:
        path: the PNG file to write.
        curves: from :func:`multibox.evaluation.precision_recall`.
        ap: {class name: average precision by the 11-point rule, or None}, for the legend.

    Raises:
        UserError: the picture cannot be written.
    """
    with _axes(path, 'precision', 'recall') as axes:
        _draw_precision_recall(axes, curves, ap)


@contextlib.contextmanager
def _axes(path, y_label, x_label='iteration'):
    with plot(path, (9, 5)) as figure:
        axes = figure.add_subplot(xlabel=x_label, ylabel=y_label)
        axes.spines[['top', 'right']].set_visible(False)
        axes.grid(alpha=0.25)
        if x_label == 'iteration':
            axes.xaxis.set_major_formatter('{x:,.0f}')
        yield axes


def _draw_losses(axes, entries):
    for key, color in LOSS_COLORS.items():
        iteration, loss = series(entries, key)
        if len(loss) > MANY:
            axes.plot(iteration, loss, color=color, alpha=0.2, linewidth=0.8)
        axes.plot(iteration, trend(loss), color=color, label=key.removeprefix('main/'),
                  marker='.' if len(loss) == 1 else None)
    iteration, loss = series(entries, TEST_LOSS)
    if len(loss):
        axes.plot(iteration, loss, color='black', linestyle='--', label='loss, test images',
                  marker='.')
    axes.set_yscale('log')  # the loss falls from 20 to 2; a linear axis would hide the end
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 3, 5)))
    axes.yaxis.set_major_formatter('{x:g}')
    axes.yaxis.set_minor_formatter(NullFormatter())
    for cut, lr in learning_rate_cuts(entries):
        axes.axvline(cut, color='gray', linestyle='--', linewidth=1)
        axes.annotate(f'lr {lr:.0e}', (cut, 1), xycoords=('data', 'axes fraction'),
                      xytext=(3, -9), textcoords='offset points', color='gray', fontsize=8)
    axes.legend(frameon=False)


def _draw_precision_recall(axes, curves, ap):
    colors = class_colors(curves, ap)
    for name in grey_classes(curves, {}) if len(curves) > len(COLORS) else ():
        axes.plot(*curves[name][::-1], color='lightgray', linewidth=0.8)
    lines, texts = [], []
    for name, color in colors.items():
        if curves[name] is not None:
            precision, recall = curves[name]
            lines += axes.plot(recall, precision, color=color)
            texts.append(f'{short_name(name)} {ap[name]:.3f}')
    axes.set(xlim=(0, 1.02), ylim=(0, 1.05))
    legend = axes.legend(lines, list(map(str, range(len(lines)))), title='AP, 11-point',
                         alignment='left', frameon=False, fontsize=8, title_fontsize=8,
                         ncols=1 + len(colors) // 12)
    for text, name in zip(legend.get_texts(), texts):
        text.set_text(name)  # a legend leaves out labels that begin with _
