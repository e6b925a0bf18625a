"""The optimizers: momentum SGD, Adam, weight decay, gradients of biases, many processes."""
from typing import Any, NamedTuple

from multibox.engines import kernels
from multibox.engines.bfloat16 import is_bfloat16
from multibox.engines.updates import gpu as updates
from multibox.engines.updates import rates
from multibox.errors import UserError
from multibox.processes import OneProcess
from multibox.training.precision import LossScaling

import chainer
from chainer.backends import cuda
from chainer.optimizer_hooks import WeightDecay
from chainercv.links.model.ssd import GradientScaling


class _ByKernels(LossScaling):
    """Mixin for an optimizer of Chainer whose parameters kernels update on a GPU."""

    t: int
    target: Any

    def update(self, lossfun=None, *args, **kwds):
        """Compute gradients if a loss is given, then update; see ``chainer.GradientMethod``.

        On a GPU the host does not wait for it, unless Chainer itself updates some parameters.
        """
        on_gpu = all(kernels.is_on_gpu(parameter.array) for parameter in self.target.params())
        self._move_scale(on_gpu and self._loss_scaling_is_dynamic
                         and rates.updates_all(self))
        if not on_gpu:
            super().update(lossfun, *args, **kwds)
            return
        scale = self._scale
        if lossfun is not None:
            loss = lossfun(*args, **kwds)
            self.target.cleargrads()
            if scale is None:
                loss.backward(loss_scale=self._loss_scale)
            else:
                loss.grad = scale.gradient(loss.array)
                loss.backward()
            del loss  # frees the graph before the update takes memory
        updates.update(self, scale, scaled=lossfun is not None)

    def obstacle(self) -> str | None:
        """The reason why a CUDA graph cannot hold the update, in words; None if it can."""
        return None if rates.updates_all(self) else (
            'the optimizer has hooks, or Chainer itself updates some of the parameters')

    def prepare(self) -> None:
        """Write to the GPU the numbers that a graph of the update reads from it."""
        rates.write_rates(self)

    def count(self) -> None:
        """Count an update that a graph makes."""
        self.t += 1
        updates.count(self.target)


class MomentumSGD(_ByKernels, chainer.optimizers.MomentumSGD):
    """Chainer's optimizer; on a GPU, one launch updates all parameters of a kind."""


class Adam(_ByKernels, chainer.optimizers.Adam):
    """Chainer's optimizer; on a GPU, one launch updates all parameters of a kind."""


class Optimizer(NamedTuple):
    """A class of optimizers.

    Attributes:
        make: the class, called with the learning rate and the momentum.
        step_size: name of the learning rate in the optimizer.
    """
    make: type
    step_size: str


OPTIMIZERS = {
    'momentum_sgd': Optimizer(MomentumSGD, 'lr'),
    'adam': Optimizer(Adam, 'alpha'),
}


def make_optimizer(name: str, chain: chainer.Link, lr: float, weight_decay: float,
                   momentum: float = 0.9, bias_scale: float = 2.) -> Any:
    """Set up an optimizer with the rules of SSD, as in ChainerCV's trainer and in Caffe.

    Gradients of biases are scaled, and biases do not decay. 16-bit weights are trained with
    :class:`LossScaling`.

    Args:
        name: one of :data:`OPTIMIZERS`.
        chain: the link to train.
        lr: initial learning rate.
        weight_decay: coefficient of the decay of weights.
        momentum: share of the last step in the next step; for Adam the first decay rate.
        bias_scale: factor on the gradients of biases.

    Returns:
        A Chainer optimizer.
    """
    optimizer = OPTIMIZERS[name].make(lr, momentum)
    optimizer.setup(chain)
    for parameter in chain.params():
        if parameter.name in ('b', 'beta'):  # biases of convolutions and normalisations
            parameter.update_rule.add_hook(GradientScaling(bias_scale))
        else:
            parameter.update_rule.add_hook(WeightDecay(weight_decay))
    return optimizer


def make_multi_node(optimizer: Any, processes: OneProcess) -> Any:
    """Wrap an optimizer that is set up with ChainerMN's, which averages gradients over processes.

    All processes begin with the weights of the first process. ChainerMN would send them instead of
    the first update. This function sends them, so a run has as many updates as on one process.

    Args:
        optimizer: a Chainer optimizer whose target has all its parameters.
        processes: the processes of the run.

    Returns:
        The wrapped optimizer; ``optimizer`` itself for a single process.

    Raises:
        UserError: there are several processes and bfloat16 weights. ChainerMN exchanges gradients
            of the floating-point types of NumPy alone.
    """
    if processes.comm is None:
        return optimizer
    if any(map(is_bfloat16, optimizer.target.params())):
        raise UserError('--precision bfloat16: ChainerMN cannot exchange its gradients; give '
                        '--precision float16, or start train.py without mpiexec')
    import chainermn
    for parameter in optimizer.target.params():  # pure_nccl fails on float16 under CuPy 14
        first = processes.broadcast(cuda.to_cpu(parameter.array) if processes.is_first else None)
        parameter.array[...] = parameter.xp.asarray(first)
    optimizer = chainermn.create_multi_node_optimizer(optimizer, processes.comm)
    optimizer.is_changed(optimizer.target)  # notes the parameters that were just sent
    return optimizer
