"""The operations between convolutions that keep the memory order of maps on a GPU.

The results of CuPy's element-wise functions are channels first. Chainer's ReLU would transpose
maps that are channels last, and the next convolution would transpose them back. The gradient of a
bias is a sum over maps. CuPy's sum takes longer than the convolution, because one block of threads
sums 32 channels; the kernels of :mod:`multibox.engines.activation` take its place. On a CPU, NumPy
keeps the order by itself.
"""
import math
from typing import Any

from multibox.engines import kernels, layout
from multibox.engines.activation import gpu as activation
from multibox.typing import Array, ArrayOrVariable

import chainer
import chainer.functions as F
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


def relu_gradient(y: Array, gy: chainer.Variable, ceiling: float, bias_dtype: Any = None
                  ) -> tuple[chainer.Variable, chainer.Variable | None]:
    """The gradient before a ReLU and, if that takes no further pass over memory, of a bias.

    Args:
        y: (B, C, H, W) result of the ReLU.
        gy: Variable of its gradient.
        ceiling: the largest value of the ReLU.
        bias_dtype: the dtype of the bias that was added before the ReLU; None without a bias.

    Returns:
        ``(gx, gb)``, Variables (B, C, H, W) and (C,). ``gb`` is None if it was not computed.
    """
    if bias_dtype is not None and activation.takes(y, gy.array):
        gx, gb = BiasedReLUGradient(y, ceiling, bias_dtype).apply((gy,))
        return gx, gb
    gradient = ReLUGradient(y) if ceiling == math.inf else ClippedReLUGradient(y, ceiling)
    return gradient.apply((gy,))[0], None


def bias_gradient_behind_relu(y: Array, gy: chainer.Variable, dtype: Any
                              ) -> chainer.Variable | None:
    """The sum of the gradient before a ReLU over all but the channels.

    Args:
        y: (B, C, H, W) result of the ReLU.
        gy: Variable of its gradient.
        dtype: the dtype of the sum.

    Returns:
        (C,) Variable; None if no kernel takes the arrays.
    """
    if not activation.takes(y, gy.array):
        return None
    return BiasedReLUGradient(y, math.inf, dtype, sums_alone=True).apply((gy,))[0]


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


def _sum_of_maps(forward):
    """A forward method that adds maps of one shape in one launch, or else as ``forward`` does."""
    def add(node, inputs):
        if (not 2 <= len(inputs) <= activation.MAX_TERMS or not activation.takes(*inputs)
                or not all(map(keeps_order, inputs))
                or any(x.shape != inputs[0].shape for x in inputs)):
            return forward(node, inputs)
        node.len = len(inputs)  # read by Chainer's gradient
        return activation.add(inputs),
    return add


def _relu_gradient(chainer_forward):
    def forward(node, inputs):
        if not activation.takes(node.b, *inputs):
            return chainer_forward(node, inputs)
        return activation.rectify(node.b, *inputs)[:1]
    return forward


def _sum(chainer_forward):
    def forward(node, inputs):
        x, = inputs
        if node.axis != (0, 2, 3) or node.keepdims or not activation.takes(x):
            return chainer_forward(node, inputs)
        return activation.rectify(None, x, write=False, sum_dtype=x.dtype)[1:]
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
        if activation.takes(self.y, *inputs):
            return activation.rectify(self.y, *inputs, self.ceiling)[:1]
        to_pixels, to_maps = layout.memory_order(self.y)
        y, gy = to_pixels(self.y), to_pixels(inputs[0])
        return to_maps(gy * ((y > 0) & (y < self.ceiling))),

    def backward(self, indexes, grad_outputs):
        return ClippedReLUGradient(self.y, self.ceiling).apply(grad_outputs)


class BiasedReLUGradient(chainer.FunctionNode):
    """The gradient of a ReLU, and its sum over all but the channels: the gradient of a bias.

    Args:
        y: output of the ReLU; :func:`multibox.engines.activation.gpu.takes` it.
        ceiling: its largest value.
        dtype: the dtype of the sums.
        sums_alone: whether the sums are the only result.
    """

    def __init__(self, y: Array, ceiling: float, dtype: Any, sums_alone: bool = False):
        self.y, self.ceiling, self.dtype, self.sums_alone = y, ceiling, dtype, sums_alone

    def forward(self, inputs):
        results = activation.rectify(
            self.y, *inputs, self.ceiling, not self.sums_alone, self.dtype)
        return results[self.sums_alone:]

    def backward(self, indexes, grad_outputs):
        *ggx, ggb = grad_outputs
        terms = [each for each in ggx if each is not None]
        if ggb is not None:
            ggb = F.cast(F.reshape(ggb, (1, -1, 1, 1)), self.y.dtype)
            terms.append(F.broadcast_to(ggb, self.y.shape))
        return relu_gradient(self.y, sum(terms), self.ceiling)[:1]


class OrderedReLU(ReLU):
    """Chainer's ReLU in the memory order of maps."""

    forward_gpu = _element_wise(ReLU.forward_gpu)

    def backward(self, indexes, grad_outputs):
        y, = self.get_retained_outputs()
        return ReLUGradient(y.array).apply(grad_outputs)


class OrderedAdd(Add):
    """Chainer's addition in the memory order of maps."""

    forward = _sum_of_maps(_element_wise(Add.forward))


class OrderedMultiAdd(MultiAdd):
    """Chainer's addition of several arrays in the memory order of maps."""

    forward = _sum_of_maps(_element_wise(MultiAdd.forward))


class OrderedSum(Sum):
    """Chainer's sum; over all but the channels of maps by a kernel."""

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
