"""L2 normalisation on a GPU: one kernel forward and one backward."""
from pathlib import Path

from multibox.engines import kernels, layout
from multibox.engines.activation.gpu import add_rows
from multibox.engines.once import differentiable_once

import numpy as np
from chainer import FunctionNode
from chainer.backends import cuda

SOURCE = Path(__file__).with_name('normalize.cu')
_BLOCK, _WARPS, _PIXELS = 256, 8, 32  # threads and warps per block; pixels, in the gradient


class L2Normalize(FunctionNode):
    """x / (length of x over its channels + eps) * scale, with sums in float32.

    The inputs are x (B, C, H, W) and scale (C,), both of one dtype of ``kernels.TYPES``. The result
    has the shape, the dtype and the memory order of x. Where the length is 0, the gradient of the
    length is 0, as in Chainer. Second derivatives are not defined.

    Args:
        eps: a small number, which keeps the divisor from 0.
    """

    def __init__(self, eps):
        self.eps = eps

    def forward(self, inputs):
        """Return (y,)."""
        self.retain_inputs((0, 1))
        x, scale = inputs
        pixels, y = _pixels(x), _empty_pixels(x)
        self._launch('normalize', _WARPS, pixels, scale, y)
        return _as(x, y),

    def backward(self, indexes, grad_outputs):
        """Return the Variables (gx, gscale)."""
        inputs = *self.get_retained_inputs(), *grad_outputs
        x, scale, gy = (each.array for each in inputs)
        gx, pixels = _empty_pixels(x), x.size // x.shape[1]
        gscale = cuda.get_array_module(x).empty((-(-pixels // _PIXELS), len(scale)), np.float32)
        self._launch('normalize_gradient', _PIXELS, _pixels(x), scale, _pixels(gy), gx, gscale)
        return differentiable_once(
            'l2_normalize', (_as(x, gx), add_rows(gscale, scale.dtype)), inputs)

    def _launch(self, kernel, pixels_per_block, x, *arrays):
        pixels, channels = x.size // x.shape[3], x.shape[3]
        vector = kernels.vector(channels, x, *arrays[:3])
        kernels.launch(SOURCE, f'{kernel}<{kernels.TYPES[x.dtype.name]}, {vector}>',
                       -(-pixels // pixels_per_block), _BLOCK, x, *arrays, np.int32(pixels),
                       np.int32(channels), np.float32(self.eps))


def _pixels(x):
    """(B, C, H, W) as a contiguous array (B, H, W, C)."""
    return cuda.get_array_module(x).ascontiguousarray(layout.pixels(x))


def _empty_pixels(x):
    n, c, h, w = x.shape
    return cuda.get_array_module(x).empty((n, h, w, c), x.dtype)


def _as(x, pixels):
    """(B, H, W, C) as (B, C, H, W) in the memory order of x."""
    maps = layout.maps(pixels)
    return maps if layout.is_channels_last(x) else cuda.get_array_module(x).ascontiguousarray(maps)
