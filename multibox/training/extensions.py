"""Trainer extensions of the recipe: the learning rate over time, and the evaluation."""
from multibox.training.evaluation import evaluate
from multibox.training.optimizer import learning_rate

import chainer


class LearningRate(chainer.training.Extension):
    """Set the step size before each update, and report it as ``lr``.

    It is a function of the iteration alone, so a resumed run needs no state.

    Args:
        attribute: the optimizer's name for it, ``'lr'`` or ``'alpha'``.
        base: step size after the warm-up.
        cuts: iterations at which it is cut by ten.
        warmup: iterations of linear growth at the start.
    """

    trigger = 1, 'iteration'
    priority = chainer.training.PRIORITY_WRITER

    def __init__(self, attribute, base, cuts, warmup=0):
        self.attribute, self.schedule = attribute, (base, cuts, warmup)

    def initialize(self, trainer):
        self._set(trainer)

    def __call__(self, trainer):
        chainer.report({'lr': getattr(trainer.updater.get_optimizer('main'), self.attribute)})
        self._set(trainer)

    def _set(self, trainer):
        rate = learning_rate(trainer.updater.iteration, *self.schedule)
        setattr(trainer.updater.get_optimizer('main'), self.attribute, rate)


class Evaluation(chainer.training.Extension):
    """Evaluate the network, report ``validation/main/map`` and keep the whole result.

    Args:
        model: the network.
        dataset: a :class:`multibox.data.VOCDataset`.
        label_names: class names in the order of the labels.
        batchsize: images given to the network at once.
        comm: a ChainerMN communicator whose processes share the images, or None.

    Attributes:
        result: ``(iteration, score, images)``, the last two as
            :func:`multibox.training.evaluation.evaluate` returns them, or None.
    """

    priority = chainer.training.PRIORITY_WRITER

    def __init__(self, model, dataset, label_names, batchsize, comm=None):
        self.arguments = model, dataset, label_names, batchsize
        self.comm = comm
        self.result = None

    def __call__(self, trainer):
        self.result = None  # the detections of the last one need not stay in memory meanwhile
        self.result = trainer.updater.iteration, *evaluate(*self.arguments, comm=self.comm)
        if self.result[1]['map'] is not None:
            chainer.report({'validation/main/map': self.result[1]['map']})
