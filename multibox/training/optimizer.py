"""The rules of the update: weight decay, gradients of biases, learning rate over time."""
from collections.abc import Callable
from typing import NamedTuple

from multibox.training.precision import LossScaling

import numpy as np
from chainer.optimizer_hooks import WeightDecay
from chainer.optimizers import Adam, MomentumSGD
from chainercv.links.model.ssd import GradientScaling


class Rule(NamedTuple):
    """An update rule, made from step size and momentum, and what Chainer calls its step size."""

    make: Callable
    step_size: str


OPTIMIZERS = {
    'momentum_sgd': Rule(MomentumSGD, 'lr'),
    'adam': Rule(Adam, 'alpha'),
}


def make_optimizer(name, chain, lr, weight_decay, momentum=0.9, bias_scale=2.):
    """Set up an optimizer with SSD's rules, as in ChainerCV's trainer and the Caffe original.

    Biases have a gradient scale of their own and do not decay. Weights in float16 are trained with
    :class:`LossScaling`.

    Args:
        name: one of :data:`OPTIMIZERS`.
        chain: the link to train.
        lr: initial step size.
        weight_decay: coefficient of the decay of weights.
        momentum: share of the last step in the next; Adam's first decay rate.
        bias_scale: factor on the gradients of biases.

    Returns:
        A Chainer optimizer.
    """
    make = OPTIMIZERS[name].make
    if any(parameter.dtype == np.float16 for parameter in chain.params()):
        make = type(make.__name__, (LossScaling, make), {})
    optimizer = make(lr, momentum)
    optimizer.setup(chain)
    for parameter in chain.params():
        if parameter.name in ('b', 'beta'):  # of convolutions, of normalisations
            parameter.update_rule.add_hook(GradientScaling(bias_scale))
        else:
            parameter.update_rule.add_hook(WeightDecay(weight_decay))
    return optimizer


def learning_rate(iteration, base, cuts, warmup=0):
    """The step size of an update.

    Args:
        iteration: number of updates done before, from 0.
        base: the step size after the warm-up and before the first cut.
        cuts: iterations from which the step size is ten times smaller than before.
        warmup: number of iterations over which it grows linearly from base / warmup to base.

    Returns:
        float.
    """
    rate = base * 0.1 ** sum(iteration >= cut for cut in cuts)
    return rate * min(1, (iteration + 1) / warmup) if warmup else rate


def scaled_cuts(iteration):
    """Where a run of ``iteration`` updates cuts its step size.

    SSD's schedule for VOC 07+12 with expansion cuts at 80k and 100k of 120k iterations (Caffe's
    ``ssd_pascal.py``, ChainerCV's trainer); a shorter run at the same fractions.
    """
    return [round(iteration * cut / 120000) for cut in (80000, 100000)]
