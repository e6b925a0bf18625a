"""A faster engine behind Chainer's 2-D convolution on a CPU.

Chainer lowers a whole batch to columns, multiplies, and reorders the product. Here a block of
output pixels that fits the cache is lowered, multiplied and stored at a time. Chainer's functions
stay and only their ``forward_cpu`` is replaced, so every link and every derivative gains.
"""
import ctypes
import math

import numpy as np
from chainer.backends import intel64
from chainer.functions.connection.convolution_2d import Convolution2DFunction, Convolution2DGradW
from chainer.functions.connection.deconvolution_2d import Deconvolution2DFunction

MIN_COLUMNS = 1024  # pixels a block: with fewer, BLAS repacks the weights too often
MIN_ELEMENTS = 2 ** 19  # of a block's columns: with fewer, the interpreter outlasts the copies


def _axes(node, kernel):
    """Return (kernel, stride, pad, dilate) of the vertical and of the horizontal axis."""
    kh, kw = kernel
    return (kh, node.sy, node.ph, node.dy), (kw, node.sx, node.pw, node.dx)


def _windows(axis, outputs, size):
    """Yield each kernel tap with the outputs it serves from inside the image, and their inputs.

    Both are slices; the one of outputs counts from ``outputs.start``.
    """
    kernel, stride, pad, dilate = axis
    for tap in range(kernel):
        offset = tap * dilate - pad  # output o reads input o * stride + offset
        first = max(outputs.start, -(offset // stride))
        last = min(outputs.stop - 1, (size - 1 - offset) // stride)
        if first <= last:
            yield (tap, slice(first - outputs.start, last - outputs.start + 1),
                   slice(first * stride + offset, last * stride + offset + 1, stride))


def _taps(axes, rows, width, image_size):
    """Yield indices that pair columns (C, kh, kw, n, rows, width) with images (C, n, H, W)."""
    for i, out_y, in_y in _windows(axes[0], rows, image_size[0]):
        for j, out_x, in_x in _windows(axes[1], slice(0, width), image_size[1]):
            yield (slice(None), i, j, slice(None), out_y, out_x), (..., in_y, in_x)


def _blocks(n, height, width, depth, dtype):
    """Cut n maps of (height, width) pixels into blocks: some maps, or some rows of one map.

    Yields:
        ``(images, rows, buffer)``: two slices, and room for the block's columns of ``depth``
        elements. It is the same memory each time, so nothing that leaves a call may point there.
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
    n, c, *image_size = x.shape
    if n == 1 and all(axis[:3] == (1, 1, 0) for axis in axes):  # 1x1: a view will do
        return x[0, :, rows].reshape(c, -1)
    shape = c, axes[0][0], axes[1][0], n, rows.stop - rows.start, width
    col = buffer[:math.prod(shape)].reshape(shape)
    col.fill(0)  # what the padding gives
    x = x.transpose(1, 0, 2, 3)
    for lowered, taken in _taps(axes, rows, width, image_size):
        col[lowered] = x[taken]
    return col.reshape(math.prod(shape[:3]), -1)


def _convolve(node, x, W, b=None):
    """Return y (B, O, out_h, out_w) of x (B, C, H, W), W (O, C, kh, kw) and b (O,)."""
    node._check_input_layouts_all_standard()
    axes = _axes(node, W.shape[2:])
    height, width = node._get_out_size(x.shape, W.shape)
    y = np.empty((len(x), len(W), height, width), x.dtype)
    weight = W.reshape(len(W), -1)
    bias = 0 if b is None else b[:, None, None, None]
    for images, rows, buffer in _blocks(len(x), height, width, weight.shape[1], x.dtype):
        col = _im2col(x[images], rows, width, axes, buffer)
        block = y[images, :, rows].transpose(1, 0, 2, 3)  # (O, n, rows, width)
        np.add(np.matmul(weight, col).reshape(block.shape), bias, out=block)
    return y


def _weight_gradient(node, x, gy):
    """Return gW (O, C, kh, kw) of x (B, C, H, W) and gy (B, O, out_h, out_w)."""
    axes = _axes(node, node.W_shape[2:])
    n, o, height, width = gy.shape
    gW = np.zeros((o, math.prod(node.W_shape[1:])), x.dtype)
    product = np.empty_like(gW)
    for images, rows, buffer in _blocks(n, height, width, gW.shape[1], x.dtype):
        col = _im2col(x[images], rows, width, axes, buffer)
        gy_block = gy[images, :, rows].transpose(1, 0, 2, 3).reshape(o, -1)
        gW += np.matmul(gy_block, col.T, out=product)
    return gW.reshape(node.W_shape).astype(node.W_dtype, copy=False)


def _input_gradient(node, gy, W, b=None):
    """Return gx (B, C, H, W) of gy (B, O, out_h, out_w) and W (O, C, kh, kw).

    As a function of its own, Chainer's deconvolution, it takes a bias b (C,) too.
    """
    node._calc_out_size(gy.shape, W.shape)
    axes = _axes(node, W.shape[2:])
    image_size = node.outh, node.outw
    n, o, height, width = gy.shape
    gx = np.zeros((n, W.shape[1], *image_size), gy.dtype)
    if b is not None:
        gx += b[:, None, None]
    weight = W.reshape(o, -1).T
    for images, rows, buffer in _blocks(n, height, width, len(weight), gy.dtype):
        gy_block = gy[images, :, rows].transpose(1, 0, 2, 3)  # (O, n, rows, width)
        pixels = gy_block.reshape(o, -1)
        col = buffer[:len(weight) * pixels.shape[1]].reshape(len(weight), -1)
        np.matmul(weight, pixels, out=col)
        col = col.reshape(W.shape[1:] + gy_block.shape[1:])
        block = gx[images].transpose(1, 0, 2, 3)
        for lowered, taken in _taps(axes, rows, width, image_size):
            block[taken] += col[lowered]
    return gx


def _covers(node, arrays):
    """Whether the engine computes this call, rather than Chainer: one group, one float type."""
    dtype = arrays[0].dtype
    return (node.groups == 1 and dtype in (np.float32, np.float64)
            and all(type(array) is np.ndarray and array.dtype == dtype for array in arrays)
            and not getattr(node, 'cudnn_fast', False) and not intel64.should_use_ideep('>=auto'))


def _forward_cpu(compute, chainers):
    """Make the method that runs ``compute`` where the engine covers, and Chainer's elsewhere."""
    def forward_cpu(self, inputs):
        if not _covers(self, inputs):
            return chainers(self, inputs)
        self.retain_inputs((0, 1))
        # F.sum's gradient has strides of 0, for which matmul leaves BLAS
        return compute(self, *map(np.ascontiguousarray, inputs)),
    return forward_cpu


_ENGINE = {
    Convolution2DFunction: _convolve,
    Convolution2DGradW: _weight_gradient,
    Deconvolution2DFunction: _input_gradient,
}
_CHAINERS = {node: node.forward_cpu for node in _ENGINE}


def install():
    """Put the engine behind Chainer's 2-D convolution on NumPy arrays, in this process.

    It computes the output and both gradients, of ``F.deconvolution_2d`` too, for float32 and
    float64 with any stride, padding and dilation. Groups, float16 and mixed types stay Chainer's.
    Installing twice is installing once.
    """
    for node, compute in _ENGINE.items():
        node.forward_cpu = _forward_cpu(compute, _CHAINERS[node])


def uninstall():
    """Put Chainer's own convolution back."""
    for node, forward_cpu in _CHAINERS.items():
        node.forward_cpu = forward_cpu


def keep_freed_memory():
    """Have glibc keep the memory a process frees; without glibc nothing happens.

    By default large arrays are mapped afresh and given back each time: a training step then pays
    thousands of page faults. See mallopt(3).
    """
    try:
        libc = ctypes.CDLL('libc.so.6')
    except OSError:  # not glibc
        return
    libc.mallopt(-4, 0)  # M_MMAP_MAX: take large arrays from the heap
    libc.mallopt(-1, -1)  # M_TRIM_THRESHOLD: never shrink the heap
