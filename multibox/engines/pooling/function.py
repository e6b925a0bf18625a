"""2-D max pooling without lowering the image to columns, on a CPU and on a GPU.

The code for both stores the number of the winning tap of each window in a byte. The functions
derive from Chainer's, whose type checks and second derivatives they keep.
"""
import copy
import math

from multibox.engines import choice, kernels, order
from multibox.engines.pooling import cpu, gpu
from multibox.typing import Array, ArrayOrVariable, IntOrPair

import chainer
import chainer.functions as F
import numpy as np
from chainer.functions.pooling.max_pooling_nd import (
    MaxPoolingND,
    MaxPoolingNDGrad,
    MaxPoolingNDWithIndexes,
)
from chainer.utils import conv

MAX_TAPS = 256  # their numbers are stored in a byte


def max_pooling_2d(x: ArrayOrVariable, ksize: IntOrPair, stride: IntOrPair | None = None,
                   pad: IntOrPair = 0, cover_all: bool = True, relu: bool = False
                   ) -> chainer.Variable:
    """2-D max pooling, as ``chainer.functions.max_pooling_2d`` defines it, with ReLU if wanted.

    Args:
        x: (B, C, H, W) float array or Variable.
        ksize, stride, pad: int, or a pair (y, x); a stride of None is the size of the window.
        cover_all: whether windows reach beyond the padded image if only then all pixels count.
        relu: whether negative maxima become 0.

    Returns:
        (B, C, out_h, out_w) Variable. nan is the maximum of its window.
    """
    x = chainer.as_variable(x)
    if relu:
        pool = MaxPooling(2, ksize, stride, pad, cover_all)
        pool.relu = True
        if fuses_relu(pool, x.array):
            return pool.apply((x,))[0]
        return order.relu(max_pooling_2d(x, ksize, stride, pad, cover_all))
    if not choice.current().engines and isinstance(x.array, np.ndarray):
        return F.max_pooling_2d(x, ksize, stride, pad, cover_all)
    return MaxPooling(2, ksize, stride, pad, cover_all).apply((x,))[0]


def fuses_relu(pool: 'MaxPooling', x: Array) -> bool:
    """Whether one kernel computes max pooling and ReLU of ``x``."""
    return kernels.takes(x) and math.prod(pool.ksize) <= gpu.STOPPED


def _pool(chainer_forward, pooling, covers):
    """A forward method that pools by the module ``pooling``, or else as ``chainer_forward``."""
    def forward(node, inputs):
        x, = inputs
        if (node.ndim != 2 or node.return_indices or math.prod(node.ksize) > MAX_TAPS
                or not covers(x)):
            return chainer_forward(node, inputs)
        out_size = [conv.get_conv_outsize(size, k, s, p, node.cover_all) for size, k, s, p in zip(
            x.shape[2:], node.ksize, node.stride, node.pad)]
        if min(out_size) <= 0:
            return chainer_forward(node, inputs)  # reports the error
        node._in_shape, node._in_dtype = x.shape, x.dtype  # read by Chainer's gradients
        relu = {'relu': True} if getattr(node, 'relu', False) else {}  # Chainer's nodes have none
        y, node.indexes = pooling.max_pool(x, (node.ksize, node.stride, node.pad), out_size, **relu)
        return y,
    return forward


def _pool_gradient(chainer_forward, pooling):
    def forward(node, inputs):
        pool = node.func
        indexes = getattr(pool, 'indexes', None)  # Chainer's cuDNN path has none
        if indexes is None or indexes.dtype != np.uint8:
            return chainer_forward(node, inputs)
        return pooling.max_pool_gradient(*inputs, indexes, (pool.ksize, pool.stride, pool.pad),
                                         pool._in_shape[2:]),
    return forward


class MaxPooling(MaxPoolingND):
    """The maximum of each window.

    Attributes:
        relu: whether negative maxima become 0; only for arrays that :func:`fuses_relu` allows.
    """

    relu = False
    forward_cpu = _pool(MaxPoolingND.forward_cpu, cpu, covers=lambda x: True)
    forward_gpu = _pool(MaxPoolingND.forward_gpu, gpu, covers=kernels.takes)

    def backward(self, indexes, grad_outputs):
        return MaxPoolingGradient(self).apply(grad_outputs)


class MaxPoolingGradient(MaxPoolingNDGrad):
    """The gradient of :class:`MaxPooling`, passed back to the position of each maximum."""

    forward_cpu = _pool_gradient(MaxPoolingNDGrad.forward_cpu, cpu)
    forward_gpu = _pool_gradient(MaxPoolingNDGrad.forward_gpu, gpu)

    def backward(self, indexes, grad_outputs):
        if not self.func.relu:
            return super().backward(indexes, grad_outputs)
        pool = copy.copy(self.func)
        passes = pool.indexes < gpu.STOPPED
        pool.indexes = pool.indexes % gpu.STOPPED
        ggy, = MaxPoolingNDWithIndexes(pool).apply(grad_outputs)
        return ggy * passes.astype(ggy.dtype),
