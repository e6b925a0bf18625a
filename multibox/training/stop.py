"""The end of a run: the last iteration, or a signal, which waits for the end of its iteration."""
import signal
import sys
from typing import Any

from multibox.processes import ONE, SIGNALS, OneProcess


class Stop:
    """The stop trigger of the trainer: the last iteration, or a signal to any process.

    As a context manager it catches the signals; a second signal of a kind has its usual effect.

    Args:
        n_iteration: iterations of the whole run.
        processes: the processes of the run; all of them stop after the same iteration.

    Attributes:
        signal: number of the signal that ended the run, or 0.
    """

    def __init__(self, n_iteration: int, processes: OneProcess = ONE):
        self.n_iteration, self.processes = n_iteration, processes
        self.signal = self._noted = 0

    def __call__(self, trainer: Any) -> bool:
        # _noted is separate: a signal that comes during the exchange counts at the next iteration.
        self.signal = max(self.processes.all_gather(self._noted))
        return self.signal > 0 or trainer.updater.iteration >= self.n_iteration

    def save_and_exit(self, trainer: Any) -> None:
        """Write a snapshot and end the process with the status 128 plus the signal's number.

        Args:
            trainer: the trainer that stopped; the first process has the extension ``snapshot``.
        """
        if self.processes.is_first:
            trainer.get_extension('snapshot')(trainer)
        self.processes.wait()  # mpiexec ends all processes when one ends, even one that writes
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
