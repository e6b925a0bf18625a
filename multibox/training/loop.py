"""The training loop: to the last iteration, the end of the patience, a signal or a bad loss."""
import math
from pathlib import Path
from typing import Any

from multibox.errors import UserError
from multibox.training.chain import NonFiniteLoss
from multibox.training.learning_rate import WARMUP
from multibox.training.release import Release
from multibox.training.snapshots import find_snapshots, is_finite

import chainer

EARLY = 100  # iterations in which a loss diverges for want of a warm-up


def run(trainer: Any, paths: list[Path]) -> None:
    """Train to the end; at a signal, write a snapshot and end the process.

    Args:
        trainer: the trainer; its stop trigger is a :class:`multibox.training.Stop`.
        paths: the image files of the training set, to name the images of a bad batch.

    Raises:
        UserError: a loss or a weight is not finite. The message names the iteration and the
            snapshot to go on from. For a loss it also names the term and the images of the batch.
        SystemExit: a signal ended the run; see :meth:`multibox.training.Stop.save_and_exit`.
    """
    loader, optimizer = trainer.updater.get_iterator('main'), trainer.updater.get_optimizer('main')
    try:
        with trainer.stop_trigger, Release():
            trainer.run(show_loop_exception_msg=False)
        optimizer.target.check()
    except NonFiniteLoss as error:
        batch = loader.position // loader.batchsize - error.n_later
        images = [paths[loader.sequence.source(t)[1]]
                  for t in range((batch - 1) * loader.batchsize, batch * loader.batchsize)]
        hint = recovery_hint(trainer, batch)
        raise UserError('\n  '.join([
            f'iteration {batch}: {error}. {hint} The images of this batch:',
            *map(str, images)])) from None
    except UserError as error:  # such as an image that can no longer be read
        raise UserError(f'{error}{_saved(trainer)}') from error
    if not is_finite(optimizer.target):
        iteration = trainer.updater.iteration
        raise UserError(f'iteration {iteration}: the last update made weights that are not finite. '
                        f'{recovery_hint(trainer, iteration)}')
    stop = trainer.stop_trigger
    if stop.signal:
        stop.save_and_exit(trainer)
    if stop.best is not None and stop.best.is_over:
        print(f'ended after iteration {trainer.updater.iteration} of {stop.n_iteration}, because '
              f'--patience {stop.best.patience} is at its end: evaluations since the best mAP: '
              f'{stop.best.n_since}; --resume with a larger --patience, or with 0 for none, goes '
              'on')


def _saved(trainer):
    """Write a snapshot before the run ends by an error, and say so; nothing if that fails."""
    try:
        trainer.get_extension('snapshot')(trainer)
    except Exception:  # no extension on the other processes, or no room
        return ''
    iteration = trainer.updater.iteration
    is_written = (Path(trainer.out) / f'snapshot_iter_{iteration}').is_file()
    return f'. The snapshot of iteration {iteration} is written' * is_written


@chainer.training.make_extension(priority=math.inf)  # before all others
def check(trainer: Any) -> None:
    """Refuse losses and weights that are not finite; an extension of the trainer.

    A loss alone does not tell: ReLU6 of oneDNN turns nan into 0.

    Raises:
        NonFiniteLoss: as :meth:`multibox.training.TrainChain.check`.
        UserError: a weight is not finite.
    """
    chain = trainer.updater.get_optimizer('main').target
    chain.check()
    if not is_finite(chain):
        iteration = trainer.updater.iteration
        raise UserError(f'iteration {iteration}: the last update made weights that are not finite, '
                        f'or an update shortly before. {recovery_hint(trainer, iteration)}')


def recovery_hint(trainer: Any, iteration: int) -> str:
    """Advice on how to go on after a loss or a weight that is not finite.

    Args:
        trainer: the trainer, with the extension :class:`multibox.training.LearningRate`.
        iteration: the iteration of the loss. Up to :data:`EARLY`, the advice names a warm-up.
    """
    saved = find_snapshots(trainer.out)
    hint = (f'{saved[0]} is from before; go on from it with --resume and a lower --lr.' if saved
            else 'There is no snapshot yet; try a lower --lr or a longer --warmup.')
    first = trainer.updater.get_optimizer('main').target.first_loss
    if iteration > EARLY or first is None or not math.isfinite(first):
        return hint
    warmup = trainer.get_extension('LearningRate').schedule[-1]
    longer = WARMUP if warmup < WARMUP else 2 * warmup
    return (f'{hint} The loss was {first:.3g} at first; if it grew from then on, start anew with '
            f'--warmup {longer}.')
