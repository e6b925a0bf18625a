"""L2 normalisation on a GPU: one kernel forward and one backward."""
from pathlib import Path

from multibox.engines import kernels, layout
from multibox.engines.once import differentiable_once

import numpy as np
from chainer import FunctionNode
from chainer.backends import cuda

SOURCE = Path(__file__).with_name('normalize.cu')
_BLOCK, _PIXELS = 256, 32  # threads and pixels per block
_MAPS = np.dtype([('channels', np.int32), ('pixels', np.int32), ('channel_stride', np.int32),
                  ('pixel_stride', np.int32), ('total', np.uint32), ('eps', np.float32)])


class L2Normalize(FunctionNode):
    """x / (length of x over its channels + eps) * scale, with sums in float32.

    The inputs are x (B, C, H, W) and scale (C,), both float32 or both float16. The result has the
    shape and the dtype of x. Where the length is 0, the gradient of the length is 0, as in Chainer.
    Second derivatives are not defined.

    Args:
        eps: a small number, which keeps the divisor from 0.
    """

    def __init__(self, eps):
        self.eps = eps

    def forward(self, inputs):
        """Return (y,)."""
        self.retain_inputs((0, 1))
        x, scale = inputs
        xp = cuda.get_array_module(x)
        in_order, back = layout.memory_order(x)
        ordered_x = xp.ascontiguousarray(in_order(x))
        y = xp.empty_like(ordered_x)
        self._launch('normalize', x, ordered_x, scale, y)
        return back(y),

    def backward(self, indexes, grad_outputs):
        """Return the Variables (gx, gscale)."""
        inputs = *self.get_retained_inputs(), *grad_outputs
        x, scale, gy = (each.array for each in inputs)
        xp = cuda.get_array_module(x)
        in_order, back = layout.memory_order(x)
        ordered_x, gy = (xp.ascontiguousarray(in_order(array)) for array in (x, gy))
        gx = xp.empty_like(gy)
        gscale = xp.empty((_blocks(x), len(scale)), np.float32)
        self._launch('normalize_gradient', x, ordered_x, scale, gy, gx, gscale)
        gscale = gscale.sum(axis=0).astype(scale.dtype, copy=False)
        return differentiable_once('l2_normalize', (back(gx), gscale), inputs)

    def _launch(self, kernel, x, *arrays):
        _, c, height, width = x.shape
        pixels = height * width
        strides = (1, c) if layout.is_channels_last(x) else (pixels, 1)
        maps = np.array((c, pixels, *strides, x.size // c, self.eps), _MAPS)
        kernels.launch(SOURCE, f'{kernel}<{kernels.TYPES[x.dtype.name]}>', _blocks(x), _BLOCK,
                       *arrays, maps)


def _blocks(x):
    return -(-x.size // x.shape[1] // _PIXELS)
