"""Momentum SGD on a GPU, with weight decay and gradient scaling: one launch for many parameters."""
import itertools
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from multibox.engines import kernels
from multibox.typing import Array

import chainer
import numpy as np
from chainer.backends import cuda
from chainer.optimizer_hooks import WeightDecay
from chainer.optimizers.momentum_sgd import MomentumSGDRule
from chainercv.links.model.ssd import GradientScaling

SOURCE = Path(__file__).with_name('momentum_sgd.cu')
_BLOCK, _CHUNK, _TENSORS = 256, 4096, 64  # threads and elements per block, tensors per launch
_TABLE = np.dtype([
    *((name, np.uint64, _TENSORS) for name in ('gradient', 'parameter', 'velocity', 'rounded')),
    *((name, np.int32, _TENSORS) for name in ('size', 'first_block')), ('count', np.int32)],
    align=True)


def update(optimizer: Any) -> None:
    """Update all parameters by their gradients: one launch per dtype, factor and decay.

    Gradients stay unchanged, whereas Chainer's hooks change them. Loss scaling does not change the
    decay of float32 parameters, whereas Chainer's ``WeightDecay`` multiplies it by the scale.
    Chainer itself updates four kinds of parameters: those with another rule, those with hooks other
    than ``WeightDecay`` and ``GradientScaling``, 16-bit parameters without ``use_fp32_update``,
    and parameters that are not contiguous in memory.

    Args:
        optimizer: a ``chainer.optimizers.MomentumSGD`` that is set up, its target on a GPU.
    """
    optimizer.reallocate_cleared_grads()
    optimizer.check_nan_in_grads()
    optimizer.call_hooks('pre')
    optimizer.t += 1
    if optimizer.is_safe_to_update():
        kinds: dict[tuple, list] = {}
        for parameter in optimizer.target.params():
            kind = _kind(parameter)
            if kind is None:
                parameter.update()
            else:
                kinds.setdefault(kind, []).append(_prepare(parameter))
        for (dtype, *rates), tensors in kinds.items():
            _launch('update', dtype, tensors, *map(np.float32, rates))
    optimizer.call_hooks('post')
    optimizer.update_loss_scale()


def all_finite(gradients: Iterable[Array]) -> bool:
    """Whether all arrays are finite; the host waits for the GPU once."""
    by_dtype: dict[Any, list] = {}
    for gradient in gradients:
        xp = cuda.get_array_module(gradient)
        by_dtype.setdefault(gradient.dtype, []).append([xp.ascontiguousarray(gradient)])
    found = xp.zeros(1, np.int32)
    for dtype, tensors in by_dtype.items():
        _launch('find_nonfinite', dtype, tensors, found)
    return not int(found[0])


def _kind(parameter):
    """The properties that parameters of one launch share, or None if Chainer updates this one."""
    rule = parameter.update_rule
    if type(rule) is not MomentumSGDRule or not rule.enabled:
        return None
    fits = parameter.dtype == np.float32 or (
        parameter.dtype.name in kernels.TYPES and rule._use_fp32_update)
    rates = _rates(rule._hookable)
    if not fits or rates is None or not parameter.array.flags.c_contiguous:
        return None
    factor, decay = rates
    return (parameter.dtype, factor / (parameter._loss_scale or 1), decay,
            rule.hyperparam.lr, rule.hyperparam.momentum)


def _rates(hooks):
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


def _prepare(parameter):
    """Count the update and return the columns of a parameter in the table, as arrays."""
    rule, master, rounded = parameter.update_rule, parameter, []
    if parameter.dtype != np.float32:
        if rule._fp32_param is None:
            rule._fp32_param = chainer.Parameter(
                parameter.array.astype(np.float32), name=parameter.name)
        master, rounded = rule._fp32_param, [parameter.array]
    # The state is not made yet, or was read from a snapshot and is still on the host.
    if rule.state is None or type(rule.state['v']) is not type(master.array):
        rule._init_states(master)
    rule.t += 1
    gradient = cuda.get_array_module(master.array).ascontiguousarray(parameter.grad)
    return [gradient, master.array, rule.state['v'], *rounded]


def _launch(kernel, dtype, tensors, *args):
    """Run a kernel on lists of arrays; each launch takes as many lists as a table holds.

    The table is passed by value, because gradients have new addresses in every iteration. The host
    need not keep the table until the GPU has read it.
    """
    for first in range(0, len(tensors), _TENSORS):
        some = tensors[first:first + _TENSORS]
        blocks = [-(-tensor[0].size // _CHUNK) for tensor in some]
        table = np.zeros((), _TABLE)
        table['count'] = n = len(some)
        table['size'][:n] = [tensor[0].size for tensor in some]
        table['first_block'][:n] = [0, *itertools.accumulate(blocks)][:-1]
        for name, column in zip(_TABLE.names, zip(*some)):
            table[name][:n] = [kernels.address(array) for array in column]
        kernels.launch(SOURCE, f'{kernel}<{kernels.TYPES[dtype.name]}>', sum(blocks), _BLOCK,
                       table, *args)
