"""Momentum SGD on a GPU, with weight decay and gradient scaling: one launch for many parameters."""
import itertools
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

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
    *((name, np.int32, _TENSORS) for name in ('size', 'first_block', 'row')), ('count', np.int32)],
    align=True)


class Rates(NamedTuple):
    """The numbers of an update, which the kernels read from the GPU.

    Attributes:
        rows: the factor on the gradient, decay, learning rate and momentum of every parameter; None
            for a parameter that Chainer updates.
        table: (N, 4) float64 array, ``rows`` on the GPU.
        one: (1,) float64 array of 1, the scale of a loss that is not scaled.
        zero: (1,) int32 array of 0, for gradients that did not overflow.
    """
    rows: list[tuple | None]
    table: Array
    one: Array
    zero: Array


def update(optimizer: Any, scale: Array | None = None, overflowed: Array | None = None) -> None:
    """Update all parameters by their gradients: one launch per dtype, factor and decay.

    Gradients stay unchanged, whereas Chainer's hooks change them. Loss scaling does not change the
    decay of float32 parameters, whereas Chainer's ``WeightDecay`` multiplies it by the scale.
    Chainer itself updates four kinds of parameters: those with another rule, those with hooks other
    than ``WeightDecay`` and ``GradientScaling``, float16 parameters without ``use_fp32_update``,
    and parameters that are not contiguous in memory.

    Args:
        optimizer: a ``chainer.optimizers.MomentumSGD`` that is set up, its target on a GPU.
        scale: float64 array on the GPU; its first element divides the gradients. None means 1.
        overflowed: (1,) int32 array on the GPU; if it is not 0, the kernels update nothing. None
            means 0.
    """
    optimizer.reallocate_cleared_grads()
    optimizer.check_nan_in_grads()
    optimizer.call_hooks('pre')
    optimizer.t += 1
    if optimizer.is_safe_to_update():
        rates = write_rates(optimizer)
        kinds: dict[tuple, list] = {}
        for i, (parameter, row) in enumerate(zip(optimizer.target.params(), rates.rows)):
            if row is None:
                parameter.update()
            else:
                kinds.setdefault((parameter.dtype, *row), []).append((i, *_prepare(parameter)))
        for (dtype, *_), tensors in kinds.items():
            _launch('update', dtype, tensors, rates.table, rates.one if scale is None else scale,
                    rates.zero if overflowed is None else overflowed)
    optimizer.call_hooks('post')
    optimizer.update_loss_scale()


def write_rates(optimizer: Any) -> Rates:
    """Write the rates of all parameters to the GPU if one has changed; the address stays.

    Args:
        optimizer: as for :func:`update`.
    """
    parameters = list(optimizer.target.params())
    rows = [_row(parameter) for parameter in parameters]
    rates = optimizer.__dict__.get('_rates')
    if rates is None or rates.rows != rows:
        xp = cuda.get_array_module(parameters[0].array)
        table = xp.asarray(np.array([row or (0, 0, 0, 0) for row in rows], np.float64))
        if rates is None or rates.table.shape != table.shape:
            rates = Rates(rows, table, xp.ones(1), xp.zeros(1, np.int32))
        rates.table[...] = table
        optimizer._rates = rates = rates._replace(rows=rows)
    return rates


def count(link: chainer.Link, n: int = 1) -> None:
    """Add ``n`` to the count of updates of every parameter of a link that is not frozen."""
    for parameter in link.params():
        if parameter.update_rule.enabled:
            parameter.update_rule.t += n


def updates_all(optimizer: Any) -> bool:
    """Whether the kernels update every parameter that is not frozen, and no hook takes part."""
    hooks = optimizer._hookable
    return not (hooks._pre_update_hooks or hooks._post_update_hooks) and all(
        kernels.takes(parameter.array) and (
            not parameter.update_rule.enabled or _row(parameter) is not None)
        for parameter in optimizer.target.params())


def all_finite(gradients: Iterable[Array]) -> bool:
    """Whether all float32 and float16 arrays are finite; the host waits for the GPU once."""
    gradients = list(gradients)
    found = cuda.get_array_module(*gradients).zeros(1, np.int32)
    find_nonfinite(gradients, found)
    return not int(found[0])


def find_nonfinite(gradients: Iterable[Array], found: Array) -> None:
    """Set ``found``, a (1,) int32 array, to 1 if a float32 or float16 array is not finite."""
    by_dtype: dict[Any, list] = {}
    for gradient in gradients:
        xp = cuda.get_array_module(gradient)
        by_dtype.setdefault(gradient.dtype, []).append((0, xp.ascontiguousarray(gradient)))
    for dtype, tensors in by_dtype.items():
        _launch('find_nonfinite', dtype, tensors, found)


def _row(parameter):
    """The rates of a parameter, or None if Chainer updates this one."""
    rule = parameter.update_rule
    if type(rule) is not MomentumSGDRule or not rule.enabled:
        return None
    fits = parameter.dtype == np.float32 or (
        parameter.dtype == np.float16 and rule._use_fp32_update)
    rates = _rates(rule._hookable)
    if not fits or rates is None or not parameter.array.flags.c_contiguous:
        return None
    factor, decay = rates
    return (factor / (parameter._loss_scale or 1), decay, rule.hyperparam.lr,
            rule.hyperparam.momentum)


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
    if parameter.dtype == np.float16:
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
    """Run a kernel on tuples (row of the rates, *arrays), as many per launch as a table holds.

    The table is passed by value, because gradients have new addresses in every iteration. The host
    need not keep the table until the GPU has read it.
    """
    for first in range(0, len(tensors), _TENSORS):
        rows, *columns = zip(*tensors[first:first + _TENSORS])
        sizes = [array.size for array in columns[0]]
        blocks = [-(-size // _CHUNK) for size in sizes]
        table = np.zeros((), _TABLE)
        table['count'] = n = len(rows)
        table['size'][:n], table['row'][:n] = sizes, rows
        table['first_block'][:n] = [0, *itertools.accumulate(blocks)][:-1]
        for name, column in zip(_TABLE.names, columns):
            table[name][:n] = [kernels.address(array) for array in column]
        kernels.launch(SOURCE, f'{kernel}<{kernels.TYPES[dtype.name]}>', sum(blocks), _BLOCK,
                       table, *args)
