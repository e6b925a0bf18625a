"""Curves from the log of a run."""
import sys
from pathlib import Path
from typing import Any

from multibox.errors import UserError
from multibox.files import read_json

import numpy as np

MEAN_AP, TEST_LOSS = 'validation/main/map', 'validation/main/loss'
MANY = 60  # points of a curve; more are hard to read without smoothing


def read_log(out: str | Path) -> list[dict]:
    """Read Chainer's log.

    Args:
        out: the folder of the run.

    Returns:
        The entries by rising iteration, each {name: number}; none without a log.

    Raises:
        UserError: the log cannot be read, or is none of a run.
    """
    path = Path(out) / 'log'
    entries = read_json(path, list)
    for i, entry in enumerate(entries, 1):
        iteration = entry.get('iteration') if isinstance(entry, dict) else None
        if not isinstance(iteration, int) or not is_number(iteration):
            raise UserError(f'{path}: is not the log of a run: entry {i} has no iteration; remove '
                            'the file or give another run')
    return entries


def is_number(value: Any) -> bool:
    """Whether a value of a JSON file is nan or a number that a float can hold."""
    return (isinstance(value, int | float) and not isinstance(value, bool)
            and not abs(value) > sys.float_info.max)


def series(entries: list[dict], key: str) -> tuple[np.ndarray, np.ndarray]:
    """Collect the values of one name.

    Args:
        entries: from :func:`read_log`.
        key: the name.

    Returns:
        Iterations and values, both (N,) float64, of the entries with a number of this
        name.
    """
    points = [(entry['iteration'], entry[key]) for entry in entries
              if is_number(entry.get(key))]
    iteration, values = np.array(points, float).reshape(-1, 2).T
    return iteration, values


def learning_rate_cuts(entries: list[dict]) -> list[tuple[float, float]]:
    """Find the iterations at which the learning rate falls by a third or more.

    Args:
        entries: from :func:`read_log`.

    Returns:
        ``(iteration, learning rate after it)`` of each cut.
    """
    iteration, lr = series(entries, 'lr')
    cuts = np.flatnonzero(lr[1:] < 0.66 * lr[:-1]) + 1
    # Entry i averages the iterations after that of entry i - 1. Of two in a row, the first entry
    # spans the cut.
    return [(iteration[i - 1], lr[i]) for i in np.setdiff1d(cuts, cuts - 1)]


def smooth(values: np.ndarray, width: int) -> np.ndarray:
    """Mean of the last ``width`` values without nan; a mean of past values keeps cuts sharp.

    Args:
        values: (N,) float array.
        width: number of values per mean, at least 1.

    Returns:
        (N,) float64 array.
    """
    known = np.isfinite(values)
    total, count = (np.convolve(terms, np.ones(width))[:len(values)]
                    for terms in (np.where(known, values, 0), known))
    return total / np.maximum(count, 1)


def trend(values: np.ndarray) -> np.ndarray:
    """Smooth many values over a twentieth of their number, and leave few as they are.

    Args:
        values: (N,) float array; more than :data:`MANY` values are smoothed.

    Returns:
        (N,) float64 array.
    """
    return smooth(values, len(values) // 20) if len(values) > MANY else values


def speed(entries: list[dict], batchsize: int) -> tuple[np.ndarray, np.ndarray]:
    """Compute the images per second between two entries of the log.

    Args:
        entries: from :func:`read_log`.
        batchsize: images per iteration, over all processes.

    Returns:
        Iterations and images per second, both (N,) float64. Evaluations and snapshots count as
        time.
    """
    iteration, seconds = series(entries, 'elapsed_time')
    steps, times = np.diff(iteration, prepend=0), np.diff(seconds, prepend=0)
    timed = times > 0
    return iteration[timed], batchsize * steps[timed] / times[timed]
