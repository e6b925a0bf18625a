"""Ctrl-C while a program is still importing its modules: one line instead of a traceback."""
import os
import signal
import sys
import threading
from pathlib import Path

PROGRAMS = 'train', 'evaluate', 'detect', '-m'  # the last one stands for python -m multibox.NAME


def watch_imports() -> None:
    """End a program of this package at once at Ctrl-C, until :func:`watch_no_longer`.

    Nothing is done where another program or a notebook imports the package.
    """
    name = Path(sys.argv[0]).stem if sys.argv else ''
    if name.removeprefix('multibox-') in PROGRAMS and _handler_is(signal.default_int_handler):
        signal.signal(signal.SIGINT, _leave)


def watch_no_longer() -> None:
    """Let Ctrl-C raise KeyboardInterrupt again."""
    if _handler_is(_leave):
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _handler_is(handler):
    return (threading.current_thread() is threading.main_thread()
            and signal.getsignal(signal.SIGINT) is handler)


def _leave(*_):
    print('interrupted', file=sys.stderr, flush=True)
    os._exit(130)
