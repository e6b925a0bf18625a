"""Ending a run early, but whole: signals wait for the iteration they come in to end."""
import signal

# The last for mpiexec, which forwards it; getting one of the others itself, it kills at once.
SIGNALS = signal.SIGTERM, signal.SIGINT, signal.SIGUSR1


class Stop:
    """The trainer's stop trigger: at its last iteration, or when a process was told to end.

    As a context manager it catches the signals; a second one of a kind has its usual effect.

    Args:
        n_iteration: iterations of the whole run.
        comm: a ChainerMN communicator, or None; all processes stop after the same iteration.

    Attributes:
        signal: number of the signal that ended the run, or 0.
    """

    def __init__(self, n_iteration, comm=None):
        self.n_iteration, self.comm = n_iteration, comm
        self.signal = 0

    def __call__(self, trainer):
        if self.comm is not None:
            self.signal = max(self.comm.mpi_comm.allgather(self.signal))
        return self.signal > 0 or trainer.updater.iteration >= self.n_iteration

    def __enter__(self):
        self._before = {number: signal.signal(number, self._note) for number in SIGNALS}

    def __exit__(self, *_):
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number, _):
        self.signal = number
        signal.signal(number, self._before[number])
