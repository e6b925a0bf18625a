"""The results of the heads of all maps, joined into one array with a row per default box."""
from collections.abc import Sequence
from typing import Any

from multibox.engines.joining import gpu

import chainer
import chainer.functions as F
import numpy as np
from chainer.backends import cuda


def join_heads(maps: Sequence[chainer.Variable], n: int) -> chainer.Variable:
    """Join the results of the heads, box by box.

    Args:
        maps: (B, A n, H, W) Variables, with A boxes per cell; shapes differ by map.
        n: numbers per box.

    Returns:
        (B, K, n) Variable, map by map, and cell by cell within a map: float32 if the kernel joins
        the maps, see :func:`multibox.engines.joining.gpu.takes`; otherwise in their dtype.
    """
    if gpu.takes([x.array for x in maps]):
        return Join(n).apply(maps)[0]
    return _join(maps, n)


def _join(maps, n):
    rows = [F.transpose(x, (0, 2, 3, 1)) for x in maps]
    return F.concat([F.reshape(x, (len(x), -1, n)) for x in rows], axis=1)


class Join(chainer.FunctionNode):
    """:func:`join_heads` by a kernel, with a float32 result.

    Args:
        n: numbers per box.
    """

    def __init__(self, n: int):
        self.n = n

    def forward(self, inputs):
        self.shapes, self.dtype = [x.shape for x in inputs], inputs[0].dtype
        return gpu.join(inputs, self.n),

    def backward(self, indexes, grad_outputs):
        return Split(self.n, self.shapes, self.dtype).apply(grad_outputs)


class Split(chainer.FunctionNode):
    """The gradient of :class:`Join`.

    Args:
        n: numbers per box.
        shapes: shapes of the maps.
        dtype: their dtype.
    """

    def __init__(self, n: int, shapes: list[tuple], dtype: Any):
        self.n, self.shapes, self.dtype = n, shapes, dtype

    def forward(self, inputs):
        return gpu.split(*inputs, self.shapes, self.dtype)

    def backward(self, indexes, grad_outputs):
        xp = cuda.get_array_module(*(each.array for each in grad_outputs if each is not None))
        return _join([F.cast(xp.zeros(shape, 'f') if each is None else each, np.float32)
                      for each, shape in zip(grad_outputs, self.shapes)], self.n),
