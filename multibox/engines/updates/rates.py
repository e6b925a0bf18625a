"""The numbers of an update of momentum SGD or Adam, in an array on the GPU."""
from typing import Any, NamedTuple

from multibox.engines import kernels
from multibox.typing import Array

import numpy as np
from chainer.backends import cuda
from chainer.optimizer_hooks import WeightDecay
from chainer.optimizers.adam import AdamRule
from chainer.optimizers.momentum_sgd import MomentumSGDRule
from chainercv.links.model.ssd import GradientScaling

_NUMBERS = 9  # per parameter, as in the structure Rates of updates.cu
_OF_ADAM = 'alpha', 'beta1', 'beta2', 'eps', 'eta', 'weight_decay_rate'


class Rates(NamedTuple):
    """The numbers of an update, which the kernels read from the GPU.

    Attributes:
        rows: per parameter the factor on the gradient, the decay, and the numbers of its rule; None
            for a parameter that Chainer updates.
        table: (N, 9) float64 array, ``rows`` on the GPU, with 0 for the rest.
        neutral: arrays of one element: 1, the scale of a loss that is not scaled, and 0 and 0, the
            number of updates left out and whether to leave out the next one.
    """
    rows: list[tuple | None]
    table: Array
    neutral: tuple[Array, Array, Array]


def write_rates(optimizer: Any) -> Rates:
    """Write the rates of the next update to the GPU if one has changed; the address stays.

    Args:
        optimizer: as for :func:`multibox.engines.updates.gpu.update`.
    """
    parameters = list(optimizer.target.params())
    rows = [_row(parameter) for parameter in parameters]
    rates = optimizer.__dict__.get('_rates')
    if rates is None or rates.rows != rows:
        xp = cuda.get_array_module(parameters[0].array)
        numbers = np.zeros((len(rows), _NUMBERS))
        for i, row in enumerate(rows):
            numbers[i, :len(row or ())] = row or ()
        table = xp.asarray(numbers)
        if rates is None or len(rates.rows) != len(rows):
            rates = Rates(rows, table, (xp.ones(1), xp.zeros(1), xp.zeros(1, np.int32)))
        rates.table[...] = table
        optimizer._rates = rates = rates._replace(rows=rows)
    return rates


def updates_all(optimizer: Any) -> bool:
    """Whether the kernels update every parameter that is not frozen, and no hook takes part."""
    hooks = optimizer._hookable
    return not (hooks._pre_update_hooks or hooks._post_update_hooks) and all(
        kernels.takes(parameter.array) and (
            not parameter.update_rule.enabled or _row(parameter) is not None)
        for parameter in optimizer.target.params())


def _row(parameter):
    """The rates of a parameter, or None if Chainer updates this one."""
    rule = parameter.update_rule
    if type(rule) not in _NUMBERS_OF or not rule.enabled:
        return None
    fits = parameter.dtype == np.float32 or (
        parameter.dtype.name in kernels.TYPES and rule._use_fp32_update)
    of_hooks, of_rule = _factor_and_decay(rule._hookable), _NUMBERS_OF[type(rule)](rule)
    if not fits or None in (of_hooks, of_rule) or not parameter.array.flags.c_contiguous:
        return None
    factor, decay = of_hooks
    return (factor / (parameter._loss_scale or 1), decay, *of_rule)


def _factor_and_decay(hooks):
    """The factor on gradients and the decay that result from the hooks, or None for other hooks."""
    factor, decay = 1., 0.
    for hook in hooks._pre_update_hooks.values():
        if type(hook) is GradientScaling:
            factor, decay = factor * hook.rate, decay * hook.rate
        elif type(hook) is WeightDecay:
            decay += hook.rate
        else:
            return None
    return None if hooks._post_update_hooks else (factor, decay)


def _of_momentum_sgd(rule):
    return rule.hyperparam.lr, rule.hyperparam.momentum


def _of_adam(rule):
    """The numbers of Adam; None for its variants."""
    hyper = rule.hyperparam.get_dict()
    if hyper['amsgrad'] or hyper['adabound']:
        return None
    return *(hyper[name] for name in _OF_ADAM), rule.t + 1


_NUMBERS_OF = {MomentumSGDRule: _of_momentum_sgd, AdamRule: _of_adam}
