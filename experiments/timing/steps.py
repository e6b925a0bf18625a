"""Steps of Chainer and of multibox that several measurements time."""
import functools
from collections.abc import Callable, Sequence
from typing import Any

from multibox import engines
from multibox.typing import Array

import chainer


@functools.cache
def cpu_engines() -> tuple[str, ...]:
    """The convolution engines of this machine's CPU by name, Chainer's own code first.

    The first call prints the reasons why others are missing.
    """
    missing = {name: engines.ENGINES[name][0].missing()
               for name in ('onednn', 'onednn-bf16', 'blas')}
    for name, reason in missing.items():
        if reason:
            print(f'without {name}: {reason}')
    return 'chainer', *(name for name, reason in missing.items() if not reason)


def with_engine(step: Callable[[], Any], *engine: str) -> Callable[[], Any]:
    """A step that computes with an engine; arguments as for :func:`multibox.engines.using`."""
    def call():
        with engines.using(*engine):
            return step()
    return call


def forward_and_backward(function: Callable, inputs: Sequence[Array], gy: Array | None = None
                         ) -> Callable[[], list[Array]]:
    """A step that applies a function to arrays, and returns the result and all gradients.

    Args:
        function: function of Variables that returns a Variable.
        inputs: its arguments.
        gy: the gradient of the result; None means that it equals the result.
    """
    def step():
        variables = [chainer.Variable(array) for array in inputs]
        y = function(*variables)
        y.grad = y.array if gy is None else gy
        y.backward()
        return [y.array, *(variable.grad for variable in variables)]
    return step


def chainer_step(loss: Callable, mb_locs: Array, mb_confs: Array, gt_mb_locs: Array,
                 gt_mb_labels: Array) -> Callable[[], tuple[chainer.Variable, ...]]:
    """A step that computes a loss with ChainerCV's signature, and its gradients.

    Args:
        loss: function from (mb_locs, mb_confs, gt_mb_locs, gt_mb_labels, k) to two terms.
        mb_locs, mb_confs, gt_mb_locs, gt_mb_labels: from
            :func:`experiments.timing.arrays.random_case`, or the same on a GPU.

    Returns:
        Function without arguments that returns ``(loc_loss, conf_loss, mb_locs, mb_confs)``; the
        gradients are those of the last two Variables.
    """
    def step():
        predictions = chainer.Variable(mb_locs), chainer.Variable(mb_confs)
        loc_loss, conf_loss = loss(*predictions, gt_mb_locs, gt_mb_labels, 3)
        (loc_loss + conf_loss).backward()
        return loc_loss, conf_loss, *predictions
    return step
