"""The end of a run: the last iteration, the patience, or a signal, which lets its iteration end."""
import signal
import sys
from typing import Any

from multibox.processes import ONE, SIGNALS, OneProcess
from multibox.training.best import Best


class Stop:
    """The stop trigger of the trainer: the last iteration, the patience, or a signal.

    A signal to any process counts. As a context manager it catches the signals; a second signal of
    a kind has its usual effect.

    Args:
        n_iteration: iterations of the whole run.
        processes: the processes of the run; all of them stop after the same iteration.
        best: counts evaluations without a better mAP; None for a run without patience.

    Attributes:
        signal: number of the signal that ended the run, or 0.
    """

    def __init__(self, n_iteration: int, processes: OneProcess = ONE, best: Best | None = None):
        self.n_iteration, self.processes, self.best = n_iteration, processes, best
        self.signal = self._noted = 0

    def __call__(self, trainer: Any) -> bool:
        # _noted is separate: a signal that comes during the exchange counts at the next iteration.
        self.signal = max(self.processes.all_gather(self._noted))
        return self.signal > 0 or self.is_last(trainer.updater.iteration)

    def is_last(self, iteration: int) -> bool:
        """Whether the run ends after an iteration, if no signal comes."""
        return iteration >= self.n_iteration or (self.best is not None and self.best.is_over)

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
