"""ParseNet's L2 normalisation, ChainerCV's ``Normalize``, in one kernel each way."""
from multibox import gpu
from multibox.gpu.arrays import CHANNELS_LAST, TYPES, layout

import numpy as np
from chainer import Function
from chainer.backends import cuda

_BLOCK, _PIXELS = 256, 32  # threads and pixels of a block
_MAPS = np.dtype([('channels', np.int32), ('pixels', np.int32), ('channel_stride', np.int32),
                  ('pixel_stride', np.int32), ('total', np.uint32), ('eps', np.float32)])


class L2Normalize(Function):
    """x / (length of x over the channels + eps) * scale, with sums in float32.

    Takes x (B, C, H, W) and scale (C,), both float32 or both float16; gives y as x. Where the
    length is 0, so is its gradient, as in Chainer. Gradients of gradients there are none.

    Args:
        eps: float.
    """

    def __init__(self, eps):
        self.eps = eps

    def forward(self, inputs):
        """Return (y,)."""
        x, scale = inputs
        xp = cuda.get_array_module(x)
        there, back = layout(x)
        x_there = xp.ascontiguousarray(x.transpose(there))
        y = xp.empty_like(x_there)
        self._launch('normalize', x, x_there, scale, y)
        return y.transpose(back),

    def backward(self, inputs, grad_outputs):
        """Return (gx, gscale)."""
        x, scale = inputs
        xp = cuda.get_array_module(x)
        there, back = layout(x)
        x_there, gy = (xp.ascontiguousarray(array.transpose(there))
                       for array in (x, *grad_outputs))
        gx = xp.empty_like(gy)
        gscale = xp.empty((_blocks(x), len(scale)), np.float32)
        self._launch('normalize_gradient', x, x_there, scale, gy, gx, gscale)
        return gx.transpose(back), gscale.sum(axis=0).astype(scale.dtype, copy=False)

    def _launch(self, kernel, x, *arrays):
        _, c, height, width = x.shape
        pixels = height * width
        strides = (1, c) if layout(x) is CHANNELS_LAST else (pixels, 1)
        maps = np.array((c, pixels, *strides, x.size // c, self.eps), _MAPS)
        gpu.launch('normalize', f'{kernel}<{TYPES[x.dtype]}>', _blocks(x), _BLOCK,
                            *arrays, maps)


def _blocks(x):
    return -(-x.size // x.shape[1] // _PIXELS)
