"""Errors caused by user input, shown without a traceback, and the end of a program on an error."""
import contextlib
import os
import pathlib
import sys
import time
import traceback
from collections.abc import Iterator

from multibox.interrupts import watch_no_longer
from multibox.terminal import printable_output

PATIENCE = 2  # seconds that the other processes wait while the first one reports a common error


class UserError(ValueError):
    """Bad input: the message names the file or argument, what is wrong and what to do.

    Programs print the message without a traceback.
    """


@contextlib.contextmanager
def ending_together(program: str | None = None) -> Iterator[None]:
    """Turn an exception of any process into one message, and end all processes of the run.

    The message of a :class:`UserError` is printed alone; any other exception has its traceback.

    Args:
        program: the beginning of the message; None means the name of the running script.

    Raises:
        SystemExit: on a single process, with the status 130 after Ctrl-C, 141 after the end of a
            pipe, and 1 otherwise. Several
            processes are ended by MPI instead, with the same status.
    """
    program = program or pathlib.Path(sys.argv[0]).name
    watch_no_longer()
    with printable_output():
        try:
            yield
        except UserError as error:
            _end(f'{program}: {error}')
        except BrokenPipeError:  # the reader of the output has ended, such as head
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            _end('', 141)
        except KeyboardInterrupt:
            _end(f'{program}: interrupted', 130)
        except OSError as error:
            if error.filename is None:
                _end(traceback.format_exc())
            _end(f'{program}: {os.fsdecode(error.filename)}: cannot be used ({error.strerror})')
        except Exception:
            _end(traceback.format_exc())


def _end(message, status=1):
    MPI = sys.modules.get('mpi4py.MPI')
    if MPI is None or MPI.COMM_WORLD.size == 1:
        print(message, end='\n' * bool(message), file=sys.stderr, flush=True)
        sys.exit(status)
    time.sleep(PATIENCE if MPI.COMM_WORLD.rank else 0)  # the first process ends the others
    print(message, file=sys.stderr, flush=True)
    MPI.COMM_WORLD.Abort(status)
