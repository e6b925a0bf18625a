"""The step size over the iterations of a run."""
from collections.abc import Sequence

import chainer


def learning_rate(iteration: int, base: float, cuts: Sequence[int], warmup: int = 0) -> float:
    """The step size of an update.

    Args:
        iteration: number of updates done before, from 0.
        base: the step size after the warm-up and before the first cut.
        cuts: iterations from which the step size is ten times smaller than before.
        warmup: number of iterations over which it grows linearly from base / warmup to base.
    """
    rate = base * 0.1 ** sum(iteration >= cut for cut in cuts)
    return rate * min(1, (iteration + 1) / warmup) if warmup else rate


def scaled_cuts(iteration: int) -> list[int]:
    """The iterations at which a run of ``iteration`` updates cuts its step size.

    SSD's schedule for VOC 07+12 with expansion cuts at 80k and 100k of 120k iterations (Caffe's
    ``ssd_pascal.py``, ChainerCV's trainer). A shorter run cuts at the same fractions.
    """
    return [round(iteration * cut / 120000) for cut in (80000, 100000)]


class LearningRate(chainer.training.Extension):
    """Trainer extension: set the step size before each update, and report it as ``lr``.

    The step size depends on the iteration alone, so a resumed run needs no state.

    Args:
        attribute: the name of the step size in the optimizer, ``'lr'`` or ``'alpha'``.
        base: step size after the warm-up.
        cuts: iterations at which it is cut by ten.
        warmup: number of iterations of linear growth at the start.
    """

    trigger = 1, 'iteration'
    priority = chainer.training.PRIORITY_WRITER

    def __init__(self, attribute: str, base: float, cuts: Sequence[int], warmup: int = 0):
        self.attribute, self.schedule = attribute, (base, cuts, warmup)

    def initialize(self, trainer: chainer.training.Trainer) -> None:
        self._set(trainer)

    def __call__(self, trainer: chainer.training.Trainer) -> None:
        chainer.report({'lr': getattr(trainer.updater.get_optimizer('main'), self.attribute)})
        self._set(trainer)

    def _set(self, trainer):
        rate = learning_rate(trainer.updater.iteration, *self.schedule)
        setattr(trainer.updater.get_optimizer('main'), self.attribute, rate)
