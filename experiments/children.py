"""Scripts that run scripts: told to end, they have those end first, which may save."""
import contextlib
import signal
import subprocess
import sys

_running = []


def call(command, **options):
    """Run a command to its end, from any thread.

    Args:
        command: list of str and paths.
        options: of ``subprocess.Popen``.

    Returns:
        int, its exit status.
    """
    with subprocess.Popen(command, **options) as process:  # waits, whatever happens within
        _running.append(process)
        try:
            return process.wait()
        finally:
            _running.remove(process)


@contextlib.contextmanager
def ending_first():
    """While this lasts, SIGTERM and SIGINT end what :func:`call` runs, then this process."""
    before = {number: signal.signal(number, _end) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _end(number, _):
    # A terminal and SLURM signal all processes; a second one of a kind would kill train.py at once.
    for process in [*_running]:
        process.send_signal(signal.SIGUSR1)
    sys.exit(128 + number)
