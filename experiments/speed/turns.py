"""Timing by turns: contestants run one after the other, again and again, so neighbours compare."""
import os
import pathlib
import platform
import statistics
import time

from multibox.devices import processor
from multibox.files import write_json
from multibox.training.metrics import versions


def elapsed(call):
    """Seconds that a call takes."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def take_turns(contestants, repeat, clock=elapsed):
    """Time each contestant ``repeat`` times, a call each by turns; a first call of each warms up.

    Args:
        contestants: {name: function without arguments}.
        repeat: timed calls of each.
        clock: function that calls one and returns seconds.

    Returns:
        {name: list of ``repeat`` seconds}.
    """
    seconds = {name: [] for name in contestants}
    for turn in range(-1, repeat):
        for name, call in contestants.items():
            taken = clock(call)
            if turn >= 0:
                seconds[name].append(taken)
    return seconds


def ratio(slow, fast):
    """How many times faster ``fast`` is, turn by turn, of two lists of seconds.

    Returns:
        dict of floats: ``median``, ``min`` and ``max``.
    """
    each = [s / f for s, f in zip(slow, fast)]
    return {'median': statistics.median(each), 'min': min(each), 'max': max(each)}


def describe():
    """The machine and the versions a timing depends on, as a dict."""
    chosen = {name: os.environ.get(name)  # null: OpenBLAS decides
              for name in ('OPENBLAS_NUM_THREADS', 'OPENBLAS_CORETYPE')}
    return {'processor': processor(), 'cores': os.cpu_count(), 'system': platform.platform(),
            **chosen, **versions()}


def save(path, command, results):
    """Write the timings with the command and the machine they come from, as JSON.

    Args:
        path: the file.
        command: the command line that repeats the measurement.
        results: what was measured, numbers in dicts and lists.
    """
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, {'command': command, **describe(), 'results': results})
