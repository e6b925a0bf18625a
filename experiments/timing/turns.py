"""Timing in turns: every turn runs each contestant once, so neighbouring timings compare.

The results go into a JSON file, beside the command and the machine.
"""
import argparse
import contextlib
import os
import platform
import statistics
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from multibox import flags
from multibox.devices import processor
from multibox.files import write_json
from multibox.report.metrics import versions


def elapsed(call: Callable[[], Any]) -> float:
    """Seconds that a call takes."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def own_reading(call: Callable[[], Any]) -> Any:
    """The result of a call: the clock for contestants that time themselves."""
    return call()


def take_turns(contestants: dict[Any, Callable[[], Any]], repeat: int,
               clock: Callable[[Callable], Any] = elapsed, warm_up: int = 1,
               failures: dict[Any, Exception] | None = None) -> dict[Any, list]:
    """Run contestants in turns; every turn runs each of them once, under a clock.

    Args:
        contestants: {name: function without arguments}.
        repeat: number of timed turns.
        clock: function that runs a contestant and returns a reading, by default seconds.
        warm_up: number of turns before the timed ones; their readings are dropped.
        failures: dict to fill with the exceptions of contestants, {name: exception}. A contestant
            that raises takes part in no later turn. Without the dict the exception is raised.

    Returns:
        {name: list of ``repeat`` readings}, without the contestants that failed.
    """
    readings: dict[Any, list] = {name: [] for name in contestants}
    for turn in range(-warm_up, repeat):
        for name in list(readings):
            try:
                reading = clock(contestants[name])
            except Exception as error:  # CUDA, PyTorch and compilers have no common class
                if failures is None:
                    raise
                failures[name] = error.with_traceback(None)  # its frames would keep arrays alive
                del readings[name]
            else:
                if turn >= 0:
                    readings[name].append(reading)
    return readings


def ratio(slow: Sequence[float], fast: Sequence[float]) -> dict[str, float]:
    """How many times faster ``fast`` is than ``slow``: ``median``, ``min``, ``max`` over turns."""
    each = [s / f for s, f in zip(slow, fast)]
    return {'median': statistics.median(each), 'min': min(each), 'max': max(each)}


def spread(seconds: Sequence[float]) -> dict[str, float]:
    """``median``, ``min`` and ``max`` of some seconds, in microseconds."""
    return ratio(seconds, [1e-6] * len(seconds))


def machine() -> dict[str, Any]:
    """The machine, the limits on its threads and the versions, on which timings depend."""
    limits = {name: os.environ.get(name)  # None: OpenBLAS decides
              for name in ('OPENBLAS_NUM_THREADS', 'OPENBLAS_CORETYPE')}
    return {'processor': processor(), 'cores': os.cpu_count(), 'system': platform.platform(),
            **limits, **versions()}


def save(path: Path, command: str, results: Any) -> None:
    """Write the results of a measurement as JSON, with the command and the machine.

    Args:
        path: the file; its folder is made.
        command: the command line that repeats the measurement.
        results: numbers and strings in dicts and lists.

    Raises:
        UserError: the file cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, {'command': command, **machine(), 'results': results})


class Results:
    """The results so far, in a JSON file that is written again after each part.

    Attributes:
        values: the results; ``failed`` holds an error message per failed part.
    """

    def __init__(self, path: Path, command: str):
        self.path, self.command = path, command
        self.values: dict[str, Any] = {'failed': {}}

    @contextlib.contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Save the results after a block, with the error message if the block failed."""
        try:
            yield
        except Exception as error:  # CUDA, PyTorch and compilers have no common class
            traceback.print_exc()
            self.values['failed'][name] = describe_error(error, 2000)
        save(self.path, self.command, self.values)


def describe_error(error: Exception, length: int) -> str:
    """The class and the message of an error, cut to a number of characters."""
    return f'{type(error).__name__}: {error}'[:length]


def make_parser(description: str | None, out: str, repeat: int) -> argparse.ArgumentParser:
    """A parser with the flags of all measurements, ``--repeat`` and ``--out``, and defaults."""
    parser = flags.make_parser(description)
    parser.add_argument('--repeat', type=int, default=repeat, metavar='N',
                        help='timed turns of each contestant')
    kind, metavar = ('file', 'FILE') if Path(out).suffix else ('folder', 'DIR')
    parser.add_argument('--out', type=Path, default=Path(out), metavar=metavar,
                        help=f'{kind} of the results')
    return parser
