"""The learning rate over the iterations of a run."""
from collections.abc import Sequence

import chainer

# Iterations of warm-up with which SSD300 learns from hed weights; without one, it diverges.
WARMUP = 200


def learning_rate(iteration: int, base: float, cuts: Sequence[int], warmup: int = 0) -> float:
    """The learning rate of an update.

    Args:
        iteration: number of updates done before, from 0.
        base: learning rate after the warm-up and before the first cut.
        cuts: iterations from which the learning rate is ten times lower than before.
        warmup: number of iterations of linear growth from ``base / warmup`` to ``base``.

    Returns:
        The learning rate, a float.
    """
    rate = base * 0.1 ** sum(iteration >= cut for cut in cuts)
    return rate * min(1, (iteration + 1) / warmup) if warmup else rate


def scaled_cuts(iteration: int) -> list[int]:
    """The iterations at which a run of ``iteration`` updates cuts its learning rate.

    SSD's schedule for VOC 07+12 with expansion cuts at 80k and 100k of 120k iterations (Caffe's
    ``ssd_pascal.py``, ChainerCV's trainer). A shorter run cuts at the same fractions.
    """
    return [round(iteration * cut / 120000) for cut in (80000, 100000)]


def describe_change(iteration: int, before: dict, now: dict) -> str:
    """Describe the cuts of a resumed run to the user.

    From the first update after resuming, the learning rate is that of the new cuts. It rises if the
    run was past an earlier cut that now comes later.

    Args:
        iteration: number of updates done before.
        before: the settings of the run so far: ``iteration`` and ``cuts``.
        now: the settings of the resumed run: also ``cuts_given``, ``lr`` and
            ``warmup``.

    Returns:
        A sentence, or an empty text if neither the cuts nor the number of iterations changed.
    """
    old, new = before.get('cuts', now['cuts']), now['cuts']
    if old == new:
        same_end = before.get('iteration') in (None, now['iteration'])
        return '' if same_end else (
            f'the cuts stay at {_listed(new)}' + ', as they were given' * now['cuts_given'])
    then, next_rate = (learning_rate(iteration, now['lr'], cuts, now['warmup'])
                       for cuts in (old, new))
    sentence = f'the cuts are now at {_listed(new)} (before: {_listed(old)})'
    if next_rate > then:
        sentence += (f'; the learning rate rises from {then:.1e} to {next_rate:.1e}, because the '
                     'run was past an earlier cut')
    return sentence


def _listed(cuts):
    return ', '.join(map(str, cuts)) or 'no iteration'


class LearningRate(chainer.training.Extension):
    """Trainer extension: set the learning rate before each update, and report it as ``lr``.

    The learning rate depends on the iteration alone, so a resumed run needs no state.

    Args:
        attribute: name of the optimizer's learning rate, ``'lr'`` or ``'alpha'``.
        base: learning rate after the warm-up.
        cuts: iterations at which the learning rate is divided by ten.
        warmup: number of iterations of linear growth at the start.
        trunk: a link whose parameters have a learning rate of their own, or None.
        trunk_lr: the learning rate of the trunk, as a share of that of the other parameters.
    """

    trigger = 1, 'iteration'
    priority = chainer.training.PRIORITY_WRITER

    def __init__(self, attribute: str, base: float, cuts: Sequence[int], warmup: int = 0,
                 trunk: chainer.Link | None = None, trunk_lr: float = 1):
        self.attribute, self.schedule = attribute, (base, cuts, warmup)
        self.trunk, self.trunk_lr = trunk, trunk_lr

    def initialize(self, trainer: chainer.training.Trainer) -> None:
        self._set(trainer)

    def __call__(self, trainer: chainer.training.Trainer) -> None:
        chainer.report({'lr': getattr(trainer.updater.get_optimizer('main'), self.attribute)})
        self._set(trainer)

    def _set(self, trainer):
        rate = learning_rate(trainer.updater.iteration, *self.schedule)
        setattr(trainer.updater.get_optimizer('main'), self.attribute, rate)
        for parameter in self.trunk.params() if self.trunk else ():
            setattr(parameter.update_rule.hyperparam, self.attribute, rate * self.trunk_lr)
