"""Line charts as SVG: the coordinates that the template chart.html draws."""
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.ticker import LogLocator, MaxNLocator

WIDTH, HEIGHT = 760, 340
LEFT, RIGHT, TOP, BOTTOM = 80, 716, 30, 290  # the edges of the axes
N_POINT = 1200  # points per chart, shared by its lines; more would make the page large
MOST, LEAST = 200, 30  # points per line


class Line(NamedTuple):
    """A line of a chart.

    Attributes:
        name: the name in the legend; without it, the line is thin and its points have no values.
        x: (N,) float array, rising.
        y: (N,) float array; a point with nan or infinity is left out.
        color: a colour of CSS.
        dashed: whether the line is dashed.
        dots: whether its points are marked, as is a single point in any case.
    """
    name: str
    x: np.ndarray
    y: np.ndarray
    color: str
    dashed: bool = False
    dots: bool = False


def chart(lines: Sequence[Line], x_label: str, y_label: str, *, y_max: float | None = None,
          x_max: float | None = None, log: bool = False,
          marks: Sequence[tuple[float, str]] = ()) -> dict | None:
    """Lay out a line chart.

    Args:
        lines: the lines, the lowest first.
        x_label, y_label: the names of the axes.
        y_max, x_max: the ends of the axes; None for the largest value.
        log: whether the vertical axis is logarithmic; values up to 0 are then left out. Otherwise
            it begins at 0.
        marks: ``(x, text)`` of vertical lines.

    Returns:
        The content of the template chart.html; None if there is no point.
    """
    most = min(MOST, max(LEAST, N_POINT // max(len(lines), 1)))
    lines = [line._replace(**_thin(line, most, log)) for line in lines]
    lines = [line for line in lines if len(line.x)]
    if not lines:
        return None
    xs, ys = (np.concatenate([line[part] for line in lines]) for part in (1, 2))
    x_range = min(0, xs.min()), x_max or max(xs.max(), 1e-9)
    y_range = (ys.min() / 1.1, ys.max() * 1.1) if log else (
        0, y_max or max(1.05 * ys.max(), 1e-9))

    def place_x(x):
        return _place(x, x_range, LEFT, RIGHT)

    def place_y(y):
        return _place(*map(np.log, (y, y_range)), BOTTOM, TOP) if log else _place(
            y, y_range, BOTTOM, TOP)

    return {
        'width': WIDTH, 'height': HEIGHT, 'edges': (LEFT, RIGHT, TOP, BOTTOM),
        'x_label': x_label, 'y_label': y_label,
        'x_ticks': [(place_x(x), f'{x:,g}') for x in _ticks(x_range)],
        'y_ticks': [(place_y(y), f'{y:,g}') for y in _ticks(y_range, log)],
        'marks': [(place_x(x), text) for x, text in marks],
        'legend': [line for line in lines if line.name],
        'lines': [(line, list(zip(place_x(line.x).tolist(), place_y(line.y).tolist(),
                                  line.x.tolist(), line.y.tolist()))) for line in lines]}


def _thin(line, most, log):
    """The finite points of a line, at most ``most``, at equal distances along x if possible."""
    x, y = np.asarray(line.x, float), np.asarray(line.y, float)
    shown = np.isfinite(x) & np.isfinite(y) & ((y > 0) | (not log))
    x, y = x[shown], y[shown]
    if len(x) > most:
        grid = np.searchsorted(x, np.linspace(x[0], x[-1], most - 1))
        kept = np.union1d(grid, len(x) - 1)
        x, y = x[kept], y[kept]
    return {'x': x, 'y': y}


def _place(values, limits, begin, end):
    low, high = limits
    return np.round(begin + (values - low) / (high - low) * (end - begin), 1)


def _ticks(limits, log=False):
    """Round numbers within an axis, (T,) float64."""
    low, high = limits
    locators = [MaxNLocator(6, steps=[1, 2, 5, 10])]
    if log:
        locators = [LogLocator(subs=subs) for subs in ((1, 2, 3, 5), (1, 3), (1,))] + locators
    with np.errstate(over='ignore'):  # beside 1e300
        ticks = [tick[(tick >= low) & (tick <= high)]
                 for tick in (locator.tick_values(low, high) for locator in locators)]
    return next((tick for tick in ticks if 2 <= len(tick) <= 9), ticks[-1])
