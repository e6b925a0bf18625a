"""Child processes of a script: a signal to the script ends them first, so that they can save."""
import contextlib
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

_running = []


def call(command: Sequence[str | Path], limit: float | None = None, **options: Any) -> int:
    """Run a command to its end. Several threads may do so at the same time.

    Args:
        command: the program and its arguments.
        limit: seconds after which the command is killed; None for no limit.
        options: of ``subprocess.Popen``.

    Returns:
        The exit status of the command.

    Raises:
        subprocess.TimeoutExpired: the command was killed.
    """
    with subprocess.Popen(command, **options) as process:  # waits, even after an exception
        _running.append(process)
        try:
            return process.wait(limit)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
        finally:
            _running.remove(process)


@contextlib.contextmanager
def ending_first() -> Iterator[None]:
    """End the commands of :func:`call` before this process on SIGTERM and SIGINT.

    A command gets SIGUSR1, upon which train.py saves a snapshot and ends. The exit status of this
    process is 128 plus the number of the signal.
    """
    before = {number: signal.signal(number, _end) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _end(number, _):
    # A terminal and SLURM signal children too; a second SIGTERM or SIGINT would kill train.py.
    for process in [*_running]:
        process.send_signal(signal.SIGUSR1)
    sys.exit(128 + number)
