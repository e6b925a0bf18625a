"""Updates on a GPU, with weight decay and gradient scaling: one launch for many parameters."""
import itertools
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from multibox.engines import kernels
from multibox.engines.updates.rates import write_rates
from multibox.typing import Array

import chainer
import numpy as np
from chainer.backends import cuda
from chainer.optimizers.adam import AdamRule
from chainer.optimizers.momentum_sgd import MomentumSGDRule

SOURCE = Path(__file__).with_name('updates.cu')
_BLOCK, _CHUNK, _TENSORS = 256, 4096, 64  # threads and elements per block, tensors per launch
_TABLE = np.dtype([
    *((name, np.uint64, _TENSORS)
      for name in ('gradient', 'parameter', 'momentum', 'square', 'rounded')),
    *((name, np.int32, _TENSORS) for name in ('size', 'first_block', 'row')), ('count', np.int32)],
    align=True)
# Per rule its kernel, and its states by the columns of the table.
_RULES = {MomentumSGDRule: ('update', {'momentum': 'v'}),
          AdamRule: ('update_adam', {'momentum': 'm', 'square': 'v'})}


def update(optimizer: Any, scale: Any = None, scaled: bool = False) -> None:
    """Update all parameters by their gradients: one launch per dtype, factor and decay.

    Gradients stay unchanged, whereas Chainer's hooks change them. Loss scaling does not change the
    decay of float32 parameters, whereas Chainer's ``WeightDecay`` multiplies it by the scale.
    Chainer itself updates four kinds of parameters: those with another rule, a variant of Adam
    included, those with hooks other than ``WeightDecay`` and ``GradientScaling``, 16-bit
    parameters without ``use_fp32_update``, and parameters that are not contiguous in memory.

    Args:
        optimizer: a ``chainer.optimizers.MomentumSGD`` or ``Adam`` that is set up, its target on a
            GPU.
        scale: a :class:`multibox.engines.updates.scale.Scale`, which decides whether anything is
            updated; None updates always.
        scaled: whether the kernels divide the gradients by that scale.
    """
    optimizer.reallocate_cleared_grads()
    optimizer.check_nan_in_grads()
    optimizer.call_hooks('pre')
    optimizer.t += 1
    if optimizer.is_safe_to_update():
        rates = write_rates(optimizer)
        state = rates.neutral if scale is None else (
            scale.state[:1] if scaled else rates.neutral[0], scale.state[2:], scale.overflowed)
        kinds: dict[tuple, list] = {}
        for i, (parameter, row) in enumerate(zip(optimizer.target.params(), rates.rows)):
            if row is None:
                parameter.update()
            else:
                kind = type(parameter.update_rule), parameter.dtype, *row
                kinds.setdefault(kind, []).append((i, _prepare(parameter)))
        for (rule, dtype, *_), tensors in kinds.items():
            _launch(_RULES[rule][0], dtype, tensors, rates.table, *state)
    optimizer.call_hooks('post')
    optimizer.update_loss_scale()


def has_master(parameter: chainer.Parameter) -> bool:
    """Whether a parameter has 16 bits, and so is a rounded copy of float32 master weights."""
    return parameter.dtype.itemsize == 2


def master(parameter: chainer.Parameter) -> chainer.Parameter:
    """The float32 master weights of a parameter, made from its numbers if there are none yet."""
    rule = parameter.update_rule
    if rule._fp32_param is None:
        rule._fp32_param = chainer.Parameter(
            parameter.array.astype(np.float32), name=parameter.name)
    return rule._fp32_param


def count(link: chainer.Link, n: int = 1) -> None:
    """Add ``n`` to the count of updates of every parameter of a link that is not frozen."""
    for parameter in link.params():
        if parameter.update_rule.enabled:
            parameter.update_rule.t += n


def all_finite(gradients: Iterable[Array]) -> bool:
    """Whether all arrays are finite; the host waits for the GPU once."""
    gradients = list(gradients)
    found = cuda.get_array_module(*gradients).zeros(1, np.int32)
    find_nonfinite(gradients, found)
    return not int(found[0])


def find_nonfinite(gradients: Iterable[Array], found: Array) -> None:
    """Set ``found``, a (1,) int32 array, to 1 if an array is not finite."""
    by_dtype: dict[Any, list] = {}
    for gradient in gradients:
        xp = cuda.get_array_module(gradient)
        by_dtype.setdefault(gradient.dtype, []).append(
            (0, {'gradient': xp.ascontiguousarray(gradient)}))
    for dtype, tensors in by_dtype.items():
        _launch('find_nonfinite', dtype, tensors, found)


def _prepare(parameter):
    """Count the update and return the arrays of a parameter by the columns of the table."""
    rule, weights, columns = parameter.update_rule, parameter, {}
    if has_master(parameter):
        weights, columns['rounded'] = master(parameter), parameter.array
    # The state is not made yet, or was read from a snapshot and is still on the host.
    if rule.state is None or type(rule.state['v']) is not type(weights.array):
        rule._init_states(weights)
    rule.t += 1
    columns.update((column, rule.state[name]) for column, name in _RULES[type(rule)][1].items())
    gradient = cuda.get_array_module(weights.array).ascontiguousarray(parameter.grad)
    return {'gradient': gradient, 'parameter': weights.array, **columns}


def _launch(kernel, dtype, tensors, *args):
    """Run a kernel on pairs (row of the rates, arrays), as many per launch as a table holds.

    The table is passed by value, because gradients have new addresses in every iteration. The host
    need not keep the table until the GPU has read it.
    """
    for first in range(0, len(tensors), _TENSORS):
        rows, arrays = zip(*tensors[first:first + _TENSORS])
        sizes = [each['gradient'].size for each in arrays]
        blocks = [-(-size // _CHUNK) for size in sizes]
        table = np.zeros((), _TABLE)
        table['count'] = n = len(rows)
        table['size'][:n], table['row'][:n] = sizes, rows
        table['first_block'][:n] = [0, *itertools.accumulate(blocks)][:-1]
        for name in arrays[0]:
            table[name][:n] = [kernels.address(each[name]) for each in arrays]
        kernels.launch(SOURCE, f'{kernel}<{kernels.TYPES[dtype.name]}>', sum(blocks), _BLOCK,
                       table, *args)
