"""Ending a run early, but whole: signals wait for the iteration they come in to end."""
import signal
import sys

from multibox.data.loader import SIGNALS
from multibox.training.processes import place


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
        self.signal = self._noted = 0

    def __call__(self, trainer):
        # Two numbers, for a signal may come during the exchange: then it counts the next time.
        noted = [self._noted] if self.comm is None else self.comm.mpi_comm.allgather(self._noted)
        self.signal = max(noted)
        return self.signal > 0 or trainer.updater.iteration >= self.n_iteration

    def save_and_exit(self, trainer):
        """End the process as the signal asked, after a snapshot; 128 and its number is the status.

        Args:
            trainer: the trainer that stopped; its extension ``snapshot`` is the first process's.
        """
        if place(self.comm)[0] == 0:
            trainer.get_extension('snapshot')(trainer)
        if self.comm is not None:
            self.comm.mpi_comm.barrier()  # mpiexec ends all when one ends, also one that writes
        print(f'stopped after iteration {trainer.updater.iteration} by '
              f'{signal.Signals(self.signal).name}; --resume goes on from there', flush=True)
        sys.exit(128 + self.signal)

    def __enter__(self):
        self._before = {number: signal.signal(number, self._note) for number in SIGNALS}

    def __exit__(self, *_):
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number, _):
        self._noted = number
        signal.signal(number, self._before[number])
