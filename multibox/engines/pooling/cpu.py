"""Max pooling of NumPy arrays, one tap of the windows after the other."""
import itertools

from multibox.engines.convolution.windows import taps

import numpy as np


def max_pool(x: np.ndarray, geometry: tuple, out_size: tuple) -> tuple[np.ndarray, np.ndarray]:
    """Maximum of each window.

    Args:
        x: (B, C, H, W) float array.
        geometry: (kernel, stride, pad), pairs (y, x); at most 256 taps.
        out_size: (out_h, out_w).

    Returns:
        ``(y, index)``: (B, C, out_h, out_w) float and uint8, both in the memory order of ``x``.
        ``index`` is the number of the first tap with the maximum; taps are counted row by row. nan
        is the maximum of its window, but ``index`` does not point to it.
    """
    y = np.empty_like(x, shape=(*x.shape[:2], *out_size))
    y.fill(-np.inf)
    index = np.zeros_like(y, np.uint8)
    for number, out, taken in _numbered(geometry, out_size, x.shape[2:]):
        won = x[taken] > y[out]
        np.maximum(y[out], x[taken], out=y[out])
        np.maximum(index[out], won * np.uint8(number), out=index[out])  # the last tap that won
    return y, index


def max_pool_gradient(gy: np.ndarray, index: np.ndarray, geometry: tuple,
                      in_size: tuple) -> np.ndarray:
    """Pass each gradient back to the position of its maximum.

    Args:
        gy: (B, C, out_h, out_w) float array; an infinite gradient also gives nan in its window.
        index: (B, C, out_h, out_w) uint8 array of :func:`max_pool`.
        geometry: as for :func:`max_pool`.
        in_size: (H, W) of the image.

    Returns:
        (B, C, H, W) array in the dtype and the memory order of ``gy``.
    """
    gx = np.empty_like(gy, shape=(*gy.shape[:2], *in_size))
    gx.fill(0)
    for number, out, taken in _numbered(geometry, gy.shape[2:], in_size):
        gx[taken] += gy[out] * (index[out] == number)
    return gx


def _numbered(geometry, out_size, in_size):
    kernel, stride, pad = geometry
    axes = tuple(zip(kernel, stride, pad, itertools.repeat(1)))
    for (i, j), out, taken in taps(axes, slice(0, out_size[0]), out_size[1], in_size):
        yield i * kernel[1] + j, out, taken
