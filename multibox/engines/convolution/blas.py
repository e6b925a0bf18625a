"""Convolution by NumPy: blocks of the image are lowered to columns and multiplied by its BLAS.

Chainer lowers a whole batch to columns, multiplies, and reorders the product. This engine lowers,
multiplies and stores one block of output pixels at a time, and the block fits the cache.
"""
import math

from multibox.engines.convolution import depthwise
from multibox.engines.convolution.windows import taps

import numpy as np

MIN_COLUMNS = 1024  # pixels per block: with fewer, BLAS repacks the weights too often
MIN_ELEMENTS = 2 ** 19  # per block of columns: with fewer, Python overhead outweighs the copying


class BLAS:
    """The engine ``blas``, for float32 and float64 arrays."""

    def missing(self):
        """None: every machine can use the engine, because NumPy is always installed."""
        return None

    def covers(self, arrays):
        """Whether all arrays are NumPy's, not empty, and of one dtype: float32 or float64."""
        return all(type(a) is np.ndarray and a.size
                   and a.dtype == arrays[0].dtype in (np.float32, np.float64) for a in arrays)

    def convolve(self, x, W, b, geometry, out_size, relu=False, ceiling=math.inf):
        """Return y (B, O, out_h, out_w) of x (B, C, H, W), W (O, C / G, kh, kw), b (O,) or None.

        With ``relu`` negative results become 0, and larger results become ``ceiling``.
        """
        groups = x.shape[1] // W.shape[1]
        if groups == 1:
            y = self._convolve(x, W, geometry, out_size)
        elif groups == len(W) == x.shape[1]:
            y = depthwise.convolve(x, W, geometry, out_size)
        else:
            y = np.concatenate([
                self._convolve(*parts, geometry, out_size)
                for parts in zip(np.split(x, groups, axis=1), np.split(W, groups))], axis=1)
        if b is not None:
            y += b[:, None, None]
        return clip(y, ceiling) if relu else y

    def _convolve(self, x, W, geometry, out_size):
        x, weight = np.ascontiguousarray(x), np.ascontiguousarray(W).reshape(len(W), -1)
        axes = tuple(zip(W.shape[2:], *geometry))
        y = np.empty((len(x), len(W), *out_size), x.dtype)
        for images, rows, buffer in _blocks(len(x), *out_size, weight.shape[1], x.dtype):
            col = _im2col(x[images], rows, out_size[1], axes, buffer)
            block = y[images, :, rows].transpose(1, 0, 2, 3)  # (O, n, rows, width)
            block[...] = np.matmul(weight, col).reshape(block.shape)
        return y

    def input_gradient(self, gy, W, geometry, in_size, groups=1):
        """Return gx (B, C, H, W) of gy (B, O, out_h, out_w) and W (O, C / G, kh, kw)."""
        if groups == len(W) and W.shape[1] == 1 < groups:
            return depthwise.input_gradient(gy, W, geometry, in_size)
        if groups == 1:
            return self._input_gradient(gy, W, geometry, in_size)
        return np.concatenate([
            self._input_gradient(*parts, geometry, in_size)
            for parts in zip(np.split(gy, groups, axis=1), np.split(W, groups))], axis=1)

    def _input_gradient(self, gy, W, geometry, in_size):
        # The gradient of F.sum has strides of 0, for which matmul does not use BLAS.
        gy, weight = np.ascontiguousarray(gy), np.ascontiguousarray(W).reshape(len(W), -1).T
        axes = tuple(zip(W.shape[2:], *geometry))
        n, o, height, width = gy.shape
        gx = np.zeros((n, W.shape[1], *in_size), gy.dtype)
        for images, rows, buffer in _blocks(n, height, width, len(weight), gy.dtype):
            gy_block = gy[images, :, rows].transpose(1, 0, 2, 3)  # (O, n, rows, width)
            pixels = gy_block.reshape(o, -1)
            col = buffer[:len(weight) * pixels.shape[1]].reshape(len(weight), -1)
            np.matmul(weight, pixels, out=col)
            col = col.reshape(W.shape[1:] + gy_block.shape[1:])
            block = gx[images].transpose(1, 0, 2, 3)
            for (i, j), out, taken in taps(axes, rows, width, in_size):
                block[taken] += col[:, i, j][out]
        return gx

    def weight_gradient(self, x, gy, geometry, kernel, groups=1):
        """Return gW (O, C / G, kh, kw) of x (B, C, H, W) and gy (B, O, out_h, out_w)."""
        if groups == x.shape[1] == gy.shape[1] > 1:
            return depthwise.weight_gradient(x, gy, geometry, kernel)
        if groups == 1:
            return self._weight_gradient(x, gy, geometry, kernel)
        return np.concatenate([
            self._weight_gradient(*parts, geometry, kernel)
            for parts in zip(np.split(x, groups, axis=1), np.split(gy, groups, axis=1))])

    def _weight_gradient(self, x, gy, geometry, kernel):
        x, gy = np.ascontiguousarray(x), np.ascontiguousarray(gy)
        axes = tuple(zip(kernel, *geometry))
        n, o, height, width = gy.shape
        gW = np.zeros((o, x.shape[1] * math.prod(kernel)), x.dtype)
        product = np.empty_like(gW)
        for images, rows, buffer in _blocks(n, height, width, gW.shape[1], x.dtype):
            col = _im2col(x[images], rows, width, axes, buffer)
            gy_block = gy[images, :, rows].transpose(1, 0, 2, 3).reshape(o, -1)
            gW += np.matmul(gy_block, col.T, out=product)
        return gW.reshape(o, x.shape[1], *kernel)


def clip(y, ceiling):
    """Set negative numbers to 0 and larger ones to the ceiling, in place."""
    np.maximum(y, 0, out=y)
    return y if ceiling == math.inf else np.minimum(y, ceiling, out=y)


def _blocks(n, height, width, depth, dtype):
    """Cut n maps of (height, width) pixels into blocks: several maps, or several rows of one map.

    Yields:
        ``(images, rows, buffer)``: two slices, and memory for the columns of the block, with
        ``depth`` elements per column. All blocks share the memory, so no result may point to it.
    """
    block_rows = max(1, max(MIN_COLUMNS, MIN_ELEMENTS // depth) // width)
    block_images = max(1, block_rows // height)
    buffer = np.empty(depth * block_rows * width, dtype)
    for image in range(0, n, block_images):
        for row in range(0, height, block_rows):
            yield (slice(image, image + block_images), slice(row, min(row + block_rows, height)),
                   buffer)


def _im2col(x, rows, width, axes, buffer):
    """Lower x (n, C, H, W) to columns (C * kh * kw, n * rows * width)."""
    n, c, *in_size = x.shape
    if n == 1 and all(axis[:3] == (1, 1, 0) for axis in axes):  # a view suffices for 1x1
        return x[0, :, rows].reshape(c, -1)
    shape = c, axes[0][0], axes[1][0], n, rows.stop - rows.start, width
    col = buffer[:math.prod(shape)].reshape(shape)
    col.fill(0)  # the value of the padding
    x = x.transpose(1, 0, 2, 3)
    for (i, j), out, taken in taps(axes, rows, width, in_size):
        col[:, i, j][out] = x[taken]
    return col.reshape(math.prod(shape[:3]), -1)
