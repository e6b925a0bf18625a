"""Max pooling in one kernel each way: a byte says which tap won; no sum needs atomics."""
import math

from multibox import gpu
from multibox.gpu.arrays import CHANNELS_LAST, TYPES, layout

import numpy as np
from chainer.backends import cuda

MAX_TAPS = 256  # their numbers are kept in a byte
_BLOCK = 256
_MAPS = np.dtype([(name, np.int32) for name in (
    'in_height', 'in_width', 'out_height', 'out_width', 'inner', 'pad_y', 'pad_x', 'blocks')])


def max_pool(x, geometry, out_size):
    """Maximum of each window, as ``multibox.convolution.pooling.max_pool`` gives it.

    Args:
        x: (B, C, H, W) float32 or float16 array.
        geometry: (kernel, stride, pad), pairs (y, x); at most :data:`MAX_TAPS` taps.
        out_size: (out_h, out_w).

    Returns:
        ``(y, index)``, (B, C, out_h, out_w) in the dtype of ``x`` and in uint8; with the channels
        innermost in memory where they are so in ``x``.
    """
    xp = cuda.get_array_module(x)
    there, back = order = layout(x)
    shape = (*x.shape[:2], *out_size)
    y = xp.empty([shape[axis] for axis in there], x.dtype)
    index = xp.empty(y.shape, np.uint8)
    _launch('max_pool', (xp.ascontiguousarray(x.transpose(there)), y, index), order, geometry,
            x.shape, out_size, out_size)
    return y.transpose(back), index.transpose(back)


def max_pool_gradient(gy, index, geometry, in_size):
    """Bring each gradient back to where its maximum came from.

    Args:
        gy: (B, C, out_h, out_w) float32 or float16 array.
        index: (B, C, out_h, out_w) uint8 array of :func:`max_pool`.
        geometry: as there.
        in_size: (H, W) of the image.

    Returns:
        (B, C, H, W) array in the dtype of ``gy``, in memory as ``index``.
    """
    xp = cuda.get_array_module(gy)
    there, back = order = layout(index)
    shape = (*gy.shape[:2], *in_size)
    gx = xp.empty([shape[axis] for axis in there], gy.dtype)
    gy, index = (xp.ascontiguousarray(array.transpose(there)) for array in (gy, index))
    _, stride, pad = geometry
    cells = [-(-(size + p) // s) for size, p, s in zip(in_size, pad, stride)]
    out_size = index.transpose(back).shape[2:]
    _launch('max_pool_gradient', (gy, index, gx), order, geometry, shape, out_size, cells)
    return gx.transpose(back)


def _launch(kernel, arrays, order, geometry, in_shape, out_size, threads):
    """Run it with a thread for each (y, x) of ``threads``, for each image and channel."""
    ksize, stride, pad = geometry
    n, c, *in_size = in_shape
    maps, inner = (n, c) if order is CHANNELS_LAST else (n * c, 1)
    blocks = -(-math.prod(threads) * inner // _BLOCK)
    parameters = ', '.join(map(str, (TYPES[arrays[0].dtype], *ksize, *stride)))
    gpu.launch('pooling', f'{kernel}<{parameters}>', maps * blocks, _BLOCK, *arrays,
                        np.array((*in_size, *out_size, inner, *pad, blocks), _MAPS))
