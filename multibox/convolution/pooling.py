"""Max pooling tap by tap, without lowering the image to columns."""
import itertools

from multibox.convolution.windows import taps

import numpy as np

MAX_TAPS = 256  # their numbers are kept in a byte


def max_pool(x, geometry, out_size):
    """Maximum of each window.

    Args:
        x: (B, C, H, W) float array.
        geometry: (kernel, stride, pad), pairs (y, x); at most :data:`MAX_TAPS` taps.
        out_size: (out_h, out_w).

    Returns:
        ``(y, index)``: (B, C, out_h, out_w) float and uint8, both in the memory order of ``x``;
        ``index`` is the number of the tap, row by row, that the maximum came from first. nan is the
        maximum of its window, but not where the gradient goes.
    """
    y = np.empty_like(x, shape=(*x.shape[:2], *out_size))
    y.fill(-np.inf)
    index = np.zeros_like(y, np.uint8)
    for number, out, taken in _numbered(geometry, out_size, x.shape[2:]):
        won = x[taken] > y[out]
        np.maximum(y[out], x[taken], out=y[out])
        np.maximum(index[out], won * np.uint8(number), out=index[out])  # the last that won
    return y, index


def max_pool_gradient(gy, index, geometry, in_size):
    """Bring each gradient back to where its maximum came from.

    Args:
        gy: (B, C, out_h, out_w) float array; one that is infinite makes its window nan.
        index: (B, C, out_h, out_w) uint8 array of :func:`max_pool`.
        geometry: as there.
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
