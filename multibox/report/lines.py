"""Lines over the iterations of several runs, as SVG."""
import math

import numpy as np
from markupsafe import Markup
from matplotlib.ticker import LogLocator, MaxNLocator

WIDTH, HEIGHT = 900, 380  # pixels
LEFT, RIGHT, TOP, BOTTOM = 60, 20, 16, 44  # pixels: the margins, which hold the numbers
MAX_POINTS = 200  # of a line; with more, each point is the mean of neighbours


def line_chart(lines: list[tuple], label: str, log: bool = False) -> Markup:
    """Draw one line per run, with axes and a legend.

    Args:
        lines: per run its name, its colour in CSS, and the lists of its iterations and its values.
            A value that is not finite is left out, and with ``log`` also one that is not above 0.
        label: the name of the values.
        log: whether the axis of the values is logarithmic.

    Returns:
        An ``svg`` element; the names are escaped.
    """
    points = [(name, color, *_thin(iterations, values, log))
              for name, color, iterations, values in lines]
    every_x = np.concatenate([x for _, _, x, _ in points])
    every_y = np.concatenate([y for *_, y in points])
    if not len(every_y):
        return Markup('<p>No value is finite.</p>')
    low, high = (every_y.min() / 1.1, every_y.max() * 1.1) if log else (
        0, max(every_y.max() * 1.05, 1e-9))
    ticks = _ticks(low, high, log)
    scale = math.log if log else float
    x_ticks = [t for t in MaxNLocator(8, integer=True).tick_values(0, every_x.max())
               if t <= every_x.max() * 1.001]

    def place(x, y):
        across = LEFT + (WIDTH - LEFT - RIGHT) * x / every_x.max()
        share = (scale(y) - scale(low)) / (scale(high) - scale(low))
        return f'{across:.1f}', f'{HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * share:.1f}'

    parts = [Markup('<svg class="chart" viewBox="0 0 {} {}" role="img" aria-label="{} over the '
                    'iterations">').format(WIDTH, HEIGHT, label)]
    for tick in ticks:
        _, y = place(0, tick)
        parts.append(Markup('<path class="grid" d="M{} {}H{}"/><text x="{}" y="{}" dy="4" '
                            'text-anchor="end">{}</text>').format(
            LEFT, y, WIDTH - RIGHT, LEFT - 8, y, f'{tick:g}'))
    for tick in x_ticks:
        x, _ = place(tick, low)
        parts.append(Markup('<text x="{}" y="{}" text-anchor="middle">{}</text>').format(
            x, HEIGHT - BOTTOM + 18, f'{tick:,.0f}'))
    parts.append(Markup('<text x="{}" y="{}" text-anchor="middle">iteration</text>').format(
        (LEFT + WIDTH - RIGHT) / 2, HEIGHT - 6))
    parts += [_line(name, color, [place(*point) for point in zip(x, y)], y)
              for name, color, x, y in points if len(x)]
    return Markup('').join([*parts, Markup('</svg>')])


def _line(name, color, places, values):
    """A line with its points, whose tooltip tells the name and the last value."""
    dots = Markup('').join(Markup('<circle cx="{}" cy="{}" r="3"/>').format(x, y)
                           for x, y in places) if len(places) <= MAX_POINTS // 4 else ''
    return Markup('<g style="--run:{}"><title>{}: {}</title><polyline points="{}"/>{}</g>').format(
        color, name, f'{values[-1]:.4g} at the end', ' '.join(map(','.join, places)), dots)


def _thin(iterations, values, log):
    """Iterations and values, (N,) float arrays with N up to MAX_POINTS, of the usable values."""
    x, y = np.array(iterations, float), np.array(values, float)
    kept = np.isfinite(y) & ((y > 0) | (not log))
    x, y = x[kept], y[kept]
    if len(x) <= MAX_POINTS:
        return x, y
    return tuple(np.array([part.mean() for part in np.array_split(each, MAX_POINTS)])
                 for each in (x, y))


def _ticks(low, high, log):
    """Round numbers from ``low`` to ``high``, (T,) float array."""
    powers = [LogLocator(subs=subs) for subs in ((1, 2, 5), (1,))] if log else []
    for locator in (*powers, MaxNLocator(6)):
        ticks = locator.tick_values(low, high)
        ticks = ticks[(ticks >= low) & (ticks <= high)]
        if 2 <= len(ticks) <= 9:
            break
    return ticks
