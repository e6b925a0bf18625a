"""Max pooling on a GPU: one kernel forward, and one backward without atomic additions."""
import math
from pathlib import Path

from multibox.engines import kernels, layout
from multibox.typing import Array

import numpy as np
from chainer.backends import cuda

SOURCE = Path(__file__).with_name('pooling.cu')
STOPPED = 128  # is added to the index of a window whose gradient a ReLU stops, as in pooling.cu
_BLOCK, _SUMS = 256, 32  # threads per block; sums per thread at most, which fit into registers
_MAPS = np.dtype([(name, np.int32) for name in (
    'in_height', 'in_width', 'out_height', 'out_width', 'inner', 'pad_y', 'pad_x', 'blocks')])


def max_pool(x: Array, geometry: tuple, out_size: tuple, relu: bool = False
             ) -> tuple[Array, Array]:
    """Maximum of each window, equal to :func:`multibox.engines.pooling.cpu.max_pool`.

    Args:
        x: (B, C, H, W) array in one of the dtypes of ``kernels.TYPES``.
        geometry: (kernel, stride, pad), pairs (y, x); at most 256 taps, and 128 with ``relu``.
        out_size: (out_h, out_w).
        relu: whether negative maxima become 0. :data:`STOPPED` is then added to the index of a
            maximum that is not positive, so that it passes no gradient back.

    Returns:
        ``(y, index)``, (B, C, out_h, out_w) in the dtype of ``x`` and in uint8; channels last in
        memory if ``x`` is.
    """
    xp = cuda.get_array_module(x)
    shape = *x.shape[:2], *out_size
    y, index = (layout.empty_like(x, shape, dtype, xp) for dtype in (x.dtype, np.uint8))
    _launch('max_pool', (str(relu).lower(),), (x, y, index), x, geometry, x.shape, out_size,
            out_size)
    return y, index


def max_pool_gradient(gy: Array, index: Array, geometry: tuple, in_size: tuple) -> Array:
    """Pass each gradient back to the position of its maximum.

    Args:
        gy: (B, C, out_h, out_w) array in one of the dtypes of ``kernels.TYPES``.
        index: (B, C, out_h, out_w) uint8 array of :func:`max_pool`.
        geometry: as for :func:`max_pool`.
        in_size: (H, W) of the image.

    Returns:
        (B, C, H, W) array in the dtype of ``gy``, in the memory order of ``index``.
    """
    xp = cuda.get_array_module(gy)
    shape = *gy.shape[:2], *in_size
    gx = layout.empty_like(index, shape, gy.dtype, xp)
    _, stride, pad = geometry
    cells = [-(-(size + p) // s) for size, p, s in zip(in_size, pad, stride)]
    _launch('max_pool_gradient', (), (gy, index, gx), index, geometry, shape, gy.shape[2:], cells)
    return gx


def _launch(kernel, options, arrays, ordered_as, geometry, in_shape, out_size, threads):
    """Run a kernel with one thread for each (y, x) of ``threads`` per image and channels.

    The kernel sees all arrays in the memory order of the array ``ordered_as``. A thread computes as
    many channels as one load reads.
    """
    xp, (in_order, _) = cuda.get_array_module(ordered_as), layout.memory_order(ordered_as)
    arrays = [xp.ascontiguousarray(in_order(array)) for array in arrays]
    ksize, stride, pad = geometry
    n, c, *in_size = in_shape
    maps, inner, vector = n * c, 1, 1
    if layout.is_channels_last(ordered_as):
        vector = kernels.vector(c, *arrays)
        while vector > 1 and vector * math.prod(stride) > _SUMS:
            vector //= 2
        maps, inner = n, c // vector
    blocks = -(-math.prod(threads) * inner // _BLOCK)
    dtype = kernels.TYPES[arrays[0].dtype.name]
    parameters = ', '.join(map(str, (dtype, vector, *options, *ksize, *stride)))
    kernels.launch(SOURCE, f'{kernel}<{parameters}>', maps * blocks, _BLOCK, *arrays,
                   np.array((*in_size, *out_size, inner, *pad, blocks), _MAPS))
