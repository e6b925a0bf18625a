"""The output of a run: one line per log entry, and on a terminal a progress bar."""
import math
import sys
from time import perf_counter
from typing import Any

from multibox.training.estimate import duration

import chainer
from chainer.backends import cuda
from tqdm import tqdm

WAITING = .05  # share of the time, above which a line says that the loader is waited for
SOON = 5  # iterations, after the first and slowest one, until the first estimate of the time left


class Progress(chainer.training.Extension):
    """Trainer extension: a bar of iterations, and one line per new entry of ``LogReport``.

    The bar is drawn on a terminal only; the lines also appear in a file or a pipe. Without a bar, a
    line after six iterations tells the time left, unless a log line came before. Speed and
    remaining time count from the start of this process, so a resumed run reports its own speed.
    A line also tells the share of the time since the line before in which this process waited for
    the workers of a :class:`multibox.data.Loader`, if it is above 5 %.

    Args:
        n_iteration: number of iterations of the whole run.
        batchsize: images per iteration, over all processes.
    """

    trigger = 1, 'iteration'
    priority = chainer.training.PRIORITY_READER - 1  # after LogReport has added its entry

    def __init__(self, n_iteration: int, batchsize: int):
        self._n_iteration = n_iteration
        self._batchsize = batchsize

    def initialize(self, trainer: chainer.training.Trainer) -> None:
        self._start_iteration = trainer.updater.iteration
        self._start_time = perf_counter()
        self._n_told = self._n_before = len(trainer.get_extension('LogReport').log)
        self._bar = tqdm(total=self._n_iteration, initial=self._start_iteration, disable=None,
                         unit='it', mininterval=0.5, dynamic_ncols=True)

    def __call__(self, trainer: chainer.training.Trainer) -> None:
        log = trainer.get_extension('LogReport').log
        loss = chainer.as_array(trainer.observation['main/loss'])
        if isinstance(loss, cuda.ndarray):  # reading it would make the host wait for the GPU
            loss = log[-1]['main/loss'] if log else None
        if self._bar.update() and loss is not None:
            self._bar.set_postfix_str(f'loss {float(loss):.3f}')
        self._tell_soon(trainer.updater.iteration, n_told=len(log) - self._n_before)
        waited = getattr(trainer.updater.get_iterator('main'), 'waited', 0)
        if trainer.updater.iteration == self._start_iteration + 1:  # the workers have started
            self._told = perf_counter(), waited
        for entry in log[self._n_told:]:
            self._tell(entry, trainer.updater.epoch_detail, waited)
        self._n_told = len(log)

    def _tell_soon(self, iteration, n_told):
        done = iteration - self._start_iteration
        if done == 1:
            self._first_time = perf_counter()
        if done == 1 + SOON and self._bar.disable and not n_told:
            seconds = (perf_counter() - self._first_time) / SOON
            print(f'about {duration(seconds * (self._n_iteration - iteration))} left', flush=True)

    def _tell(self, entry, epoch, waited):
        now = perf_counter()
        seconds = now - self._start_time
        (before, waited_before), self._told = self._told, (now, waited)
        iterations_per_second = (entry['iteration'] - self._start_iteration) / seconds
        tqdm.write(format_entry(
            entry, epoch, self._n_iteration,
            images_per_second=iterations_per_second * self._batchsize,
            seconds_left=(self._n_iteration - entry['iteration']) / iterations_per_second,
            waiting=(waited - waited_before) / max(now - before, 1e-9)))
        sys.stdout.flush()  # a file or a pipe would hold the lines back for minutes

    def finalize(self) -> None:
        self._bar.close()


def format_entry(entry: dict[str, Any], epoch: float, n_iteration: int, images_per_second: float,
                 seconds_left: float, waiting: float = 0) -> str:
    """Format one entry of Chainer's log as a line.

    Args:
        entry: dict with ``iteration``, ``main/loss``, ``main/loss/loc``, ``main/loss/conf``, ``lr``
            and, after an evaluation, ``validation/main/map`` and ``validation/main/loss``.
        epoch: passes over the training set so far.
        n_iteration: number of iterations of the whole run.
        images_per_second: speed of training.
        seconds_left: seconds to the end of the run at that speed.
        waiting: share of the time in which the loader was waited for.

    Returns:
        str without a line break.
    """
    fields = [
        f'iter {entry["iteration"]:{len(str(n_iteration))}}/{n_iteration}',
        f'epoch {epoch:5.2f}',
        f'loss {entry["main/loss"]:.3f} (loc {entry["main/loss/loc"]:.3f}, '
        f'conf {entry["main/loss/conf"]:.3f})',
        f'lr {entry["lr"]:.1e}',
        f'{images_per_second:.1f} img/s',
        f'left {tqdm.format_interval(seconds_left)}',
    ]
    if waiting > WAITING:
        fields.append(f'waits {100 * waiting:.0f} % for the loader')
    if 'validation/main/loss' in entry:
        fields.append(f'validation loss {entry["validation/main/loss"]:.3f}')
    mean_ap = entry.get('validation/main/map')
    if mean_ap is not None and not math.isnan(mean_ap):
        fields.append(f'mAP {mean_ap:.4f}')
    return '  '.join(fields)
