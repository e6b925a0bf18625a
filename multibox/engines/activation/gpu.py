"""The gradients of ReLU and of a bias on a GPU in one pass over memory, and sums of gradients."""
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from multibox.engines import kernels, layout
from multibox.typing import Array

import numpy as np
from chainer.backends import cuda

SOURCE = Path(__file__).with_name('activation.cu')
MAX_TERMS = 8  # per launch of a sum
_BLOCK, _PARTS, _PIXELS = 256, 2112, 8  # threads; blocks at most; pixels per thread at least
_TERMS = np.dtype([('address', np.uint64, MAX_TERMS)])


def takes(*arrays: Array) -> bool:
    """Whether all are on a GPU, of one dtype, not empty, the first with its channels innermost."""
    return (kernels.takes(*arrays) and arrays[0].size > 0 and layout.is_channels_last(arrays[0])
            and all(array.dtype == arrays[0].dtype for array in arrays))


def rectify(y: Array | None, gy: Array, ceiling: float = math.inf, write: bool = True,
            sum_dtype: Any = None) -> tuple[Array | None, Array | None]:
    """The gradient before a ReLU, and its sums over all but the channels, in one pass.

    Args:
        y: (B, C, H, W) result of the ReLU in one of the dtypes of ``kernels.TYPES``, the channels
            innermost in memory. None means that no ReLU was applied.
        gy: (B, C, H, W) gradient of the result, in the dtype of ``y``; copied if its channels are
            not innermost.
        ceiling: the upper bound of the ReLU: 6 for ReLU6, inf for none.
        write: whether the gradient is wanted.
        sum_dtype: the dtype of the sums, which are computed in float32. None means that they are
            not wanted.

    Returns:
        ``(gx, sums)``, (B, C, H, W) in the dtype of ``gy`` with the channels innermost in memory,
        and (C,) in ``sum_dtype``. Each is None if it is not wanted.
    """
    xp = cuda.get_array_module(gy)
    gy = xp.ascontiguousarray(layout.pixels(gy))
    out = gy if y is None else layout.pixels(y)
    gx = xp.empty_like(gy) if write else gy
    channels, pixels = gy.shape[3], gy.size // gy.shape[3]
    vector = kernels.vector(channels, out, gy, gx)
    columns = min(channels // vector, _BLOCK)
    tiles, rows = -(-channels // vector // columns), _BLOCK // columns
    per_part = max(_PIXELS * rows, -(-pixels * tiles // _PARTS))
    parts = -(-pixels // per_part)
    sums = xp.empty((parts if sum_dtype else 0, channels), np.float32)
    options = ', '.join(str(option).lower() for option in (
        y is not None, write, sum_dtype is not None))
    kernels.launch(SOURCE, f'rectify<{kernels.TYPES[gy.dtype.name]}, {vector}, {options}>',
                   parts * tiles, _BLOCK, out, gy, gx, sums, *map(np.int32, (
                       pixels, channels, per_part)), np.float32(ceiling))
    return (layout.maps(gx) if write else None,
            add_rows(sums, sum_dtype) if sum_dtype else None)


def add_rows(rows: Array, dtype: Any) -> Array:
    """Sum (n, C) float32 to (C,) of ``dtype``, in a fixed order."""
    n, channels = rows.shape
    result = cuda.get_array_module(rows).empty(channels, dtype)
    kernels.launch(SOURCE, f'add_rows<{kernels.TYPES[result.dtype.name]}>', -(-channels // 32),
                   1024, rows, result, np.int32(n), np.int32(channels))
    return result


def add(arrays: Sequence[Array]) -> Array:
    """Sum 2 to 8 maps (B, C, H, W), of one dtype and with channels innermost, in one launch."""
    arrays = [layout.pixels(array) for array in arrays]
    result = cuda.get_array_module(*arrays).empty_like(arrays[0])
    vector = kernels.vector(result.size, *arrays, result)
    terms = np.zeros((), _TERMS)
    terms['address'][:len(arrays)] = [kernels.address(array) for array in arrays]
    size = result.size // vector
    kernels.launch(SOURCE, f'add<{kernels.TYPES[result.dtype.name]}, {vector}>',
                   -(-size // _BLOCK), _BLOCK, terms, result, np.int32(len(arrays)),
                   np.int32(size))
    return layout.maps(result)
