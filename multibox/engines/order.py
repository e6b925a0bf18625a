"""The operations between convolutions that keep the memory order of maps on a GPU.

The results of CuPy's element-wise functions are channels first. Chainer's ReLU would transpose
maps that are channels last, and the next convolution would transpose them back. The gradient of a
bias is a sum over maps. CuPy's sum takes longer than the convolution, because one block of threads
sums 32 channels. On a CPU, NumPy keeps the order by itself.
"""
from multibox.engines import kernels, layout
from multibox.typing import Array, ArrayOrVariable

import chainer
import chainer.functions as F
import numpy as np
from chainer.backends import cuda
from chainer.functions.activation.relu import ReLU, ReLUGrad2
from chainer.functions.math.basic_math import Add, MultiAdd
from chainer.functions.math.sum import Sum


def relu(x: ArrayOrVariable) -> chainer.Variable:
    """max(0, x) of maps (B, C, H, W), in their memory order."""
    return OrderedReLU().apply((x,))[0] if _on_gpu(x) else F.relu(x)


def fork(x: ArrayOrVariable, n: int) -> tuple[chainer.Variable, ...]:
    """``x`` for each of ``n`` functions; their gradients are added in the memory order of ``x``."""
    return Fork(n).apply((x,)) if _on_gpu(x) else (chainer.as_variable(x),) * n


def bias_gradient(gy: chainer.Variable) -> chainer.Variable:
    """(O,) Variable, the sum of maps (B, O, H, W) over all but their channels."""
    return OrderedSum(axis=(0, 2, 3)).apply((gy,))[0]


def _on_gpu(x):
    return kernels.is_on_gpu(chainer.as_variable(x).array)


def keeps_order(x: Array) -> bool:
    """Whether ``x`` is on a GPU and has its channels innermost in memory."""
    return kernels.is_on_gpu(x) and layout.is_channels_last(x)


def _element_wise(chainer_forward):
    """A forward method that computes as that of Chainer does, in the memory order of maps."""
    def forward(node, inputs):
        if not all(map(keeps_order, inputs)):
            return chainer_forward(node, inputs)
        return tuple(map(layout.maps, chainer_forward(node, tuple(map(layout.pixels, inputs)))))
    return forward


def _relu_gradient(chainer_forward):
    def forward(node, inputs):
        if not keeps_order(node.b):
            return chainer_forward(node, inputs)
        return relu_gradient(node.b, *inputs),
    return forward


def _sum(chainer_forward):
    def forward(node, inputs):
        x, = inputs
        if node.axis != (0, 2, 3) or node.keepdims or not keeps_order(x):
            return chainer_forward(node, inputs)
        return sum_of_maps(x),
    return forward


class ReLUGradient(ReLUGrad2):
    """The gradient of ReLU, in the memory order of its output."""

    forward_gpu = _relu_gradient(ReLUGrad2.forward_gpu)


class ClippedReLUGradient(chainer.FunctionNode):
    """The gradient of a ReLU with a ceiling: that of its output where the ReLU did not clip.

    Args:
        y: output of the ReLU.
        ceiling: its largest value.
    """

    def __init__(self, y: Array, ceiling: float):
        self.y, self.ceiling = y, ceiling

    def forward(self, inputs):
        to_pixels, to_maps = layout.memory_order(self.y)
        y, gy = to_pixels(self.y), to_pixels(inputs[0])
        return to_maps(gy * ((y > 0) & (y < self.ceiling))),

    def backward(self, indexes, grad_outputs):
        return ClippedReLUGradient(self.y, self.ceiling).apply(grad_outputs)


class OrderedReLU(ReLU):
    """Chainer's ReLU in the memory order of maps."""

    forward_gpu = _element_wise(ReLU.forward_gpu)

    def backward(self, indexes, grad_outputs):
        y, = self.get_retained_outputs()
        return ReLUGradient(y.array).apply(grad_outputs)


class OrderedAdd(Add):
    """Chainer's addition in the memory order of maps."""

    forward = _element_wise(Add.forward)


class OrderedMultiAdd(MultiAdd):
    """Chainer's addition of several arrays in the memory order of maps."""

    forward = _element_wise(MultiAdd.forward)


class OrderedSum(Sum):
    """Chainer's sum, by :func:`sum_of_maps` where that applies."""

    forward = _sum(Sum.forward)


class Fork(chainer.FunctionNode):
    """Return the input ``n`` times; its gradient is the sum of the incoming gradients."""

    def __init__(self, n):
        self.n = n

    def forward(self, inputs):
        return inputs * self.n

    def backward(self, indexes, grad_outputs):
        grads = [grad for grad in grad_outputs if grad is not None]
        return OrderedMultiAdd().apply(grads)


def relu_gradient(y: Array, gy: Array) -> Array:
    """``gy`` where ``y`` is positive, else 0: (B, C, H, W), in the memory order of ``y``."""
    return layout.maps(cuda.elementwise(
        'T y, T gy', 'T gx', 'gx = y > 0 ? gy : (T)0', 'relu_gradient')(
            layout.pixels(y), layout.pixels(gy)))


def sum_of_maps(x: Array) -> Array:
    """Sum (B, C, H, W) to (C,), at least in float32.

    The sum over one axis after the other occupies more blocks of threads.
    """
    rows = layout.pixels(x).sum(axis=2, dtype=np.promote_types(x.dtype, np.float32))  # (B, H, C)
    return rows.sum(axis=1).sum(axis=0).astype(x.dtype, copy=False)
