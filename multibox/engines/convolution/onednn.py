"""Convolution by oneDNN: float32, or bfloat16 products with float32 sums.

Activations and their gradients stay channels last in memory. oneDNN computes on them as they are,
and Chainer's other functions keep their order.
"""
import functools
import math
import os
import pathlib

from multibox.engines.convolution import dnnl
from multibox.engines.layout import empty_channels_last, to_channels_last

import numpy as np

BFLOAT16_FLAGS = 'amx_bf16', 'avx512_bf16'  # without one of them oneDNN emulates bfloat16 slowly
_in_fork = False


def _note_fork():
    global _in_fork
    # The threads of OpenMP do not survive a fork, and the library would wait for them.
    _in_fork = dnnl.library.cache_info().currsize > 0


if hasattr(os, 'register_at_fork'):
    os.register_at_fork(after_in_child=_note_fork)


class OneDNN:
    """The engines ``onednn`` and ``onednn-bf16``, for float32 arrays.

    Args:
        dtype: type of the factors of products, :data:`dnnl.FLOAT32` or :data:`dnnl.BFLOAT16`.
    """

    def __init__(self, dtype=dnnl.FLOAT32):
        self.dtype = dtype

    def missing(self):
        """The reason why this machine cannot use the engine, in words; None if it can."""
        if _in_fork:
            return 'this process was forked from one that used oneDNN'
        try:
            dnnl.library()
        except (OSError, AttributeError, RuntimeError) as error:  # missing, or not oneDNN 3
            return str(error)
        if self.dtype == dnnl.BFLOAT16 and not _has_bfloat16():
            return f'the processor has neither of the flags {" and ".join(BFLOAT16_FLAGS)}'
        return None

    def covers(self, arrays):
        """Whether all are float32 NumPy arrays, not empty; False in a fork of a user of oneDNN."""
        return not _in_fork and all(
            type(a) is np.ndarray and a.dtype == np.float32 and a.size for a in arrays)

    def convolve(self, x, W, b, geometry, out_size, relu=False, ceiling=math.inf):
        """Return y (B, O, out_h, out_w) of x (B, C, H, W), W (O, C / G, kh, kw), b (O,) or None.

        With ``relu`` negative results become 0, and larger results become ``ceiling``.
        """
        ceiling = ceiling if relu and ceiling < math.inf else None
        y = _empty((len(x), len(W), *out_size))
        compute = _forward(x.shape, _grouped(W.shape, x.shape[1] // W.shape[1]), y.shape, geometry,
                           b is not None, self.dtype, ceiling)
        arrays = {dnnl.SRC: to_channels_last(x), dnnl.WEIGHTS: np.ascontiguousarray(W), dnnl.DST: y}
        if b is not None:
            arrays[dnnl.BIAS] = np.ascontiguousarray(b)
        compute(arrays)
        return np.maximum(y, 0, out=y) if relu and ceiling is None else y

    def input_gradient(self, gy, W, geometry, in_size, groups=1):
        """Return gx (B, C, H, W) of gy (B, O, out_h, out_w) and W (O, C / G, kh, kw)."""
        gx = _empty((len(gy), groups * W.shape[1], *in_size))
        compute = _backward_data(
            gx.shape, _grouped(W.shape, groups), gy.shape, geometry, self.dtype)
        compute({dnnl.DIFF_DST: to_channels_last(gy), dnnl.WEIGHTS: np.ascontiguousarray(W),
                 dnnl.DIFF_SRC: gx})
        return gx

    def weight_gradient(self, x, gy, geometry, kernel, groups=1):
        """Return gW (O, C / G, kh, kw) of x (B, C, H, W) and gy (B, O, out_h, out_w)."""
        gW = np.empty((gy.shape[1], x.shape[1] // groups, *kernel), np.float32)
        compute = _backward_weights(
            x.shape, _grouped(gW.shape, groups), gy.shape, geometry, self.dtype)
        compute({dnnl.SRC: to_channels_last(x), dnnl.DIFF_DST: to_channels_last(gy),
                 dnnl.DIFF_WEIGHTS: gW})
        return gW


# One primitive per shape is kept, with about 65 KB of code, because a network has few shapes.
@functools.cache
def _forward(x, W, y, geometry, bias, dtype, ceiling):
    operands = {dnnl.SRC: _activation(x), dnnl.WEIGHTS: dnnl.memory_desc(W),
                dnnl.DST: _activation(y)}
    if bias:
        operands[dnnl.BIAS] = dnnl.memory_desc(y[1:2])
    return dnnl.Primitive(_forward_descriptor(x, W, y, geometry, bias, dtype, ceiling), operands)


@functools.cache
def _backward_data(x, W, y, geometry, dtype):
    hint = _forward_descriptor(x, W, y, geometry, False, dtype)
    descriptor = dnnl.primitive_desc(
        'dnnl_convolution_backward_data_primitive_desc_create', dnnl.DIRECT, _activation(x),
        dnnl.any_order(W, dtype), _activation(y, dtype), *_window(x, W, y, geometry), hint, None)
    return dnnl.Primitive(descriptor, {
        dnnl.DIFF_DST: _activation(y), dnnl.WEIGHTS: dnnl.memory_desc(W),
        dnnl.DIFF_SRC: _activation(x)})


@functools.cache
def _backward_weights(x, W, y, geometry, dtype):
    hint = _forward_descriptor(x, W, y, geometry, False, dtype)
    descriptor = dnnl.primitive_desc(
        'dnnl_convolution_backward_weights_primitive_desc_create', dnnl.DIRECT,
        _activation(x, dtype), dnnl.any_order(W, dnnl.FLOAT32), None, _activation(y, dtype),
        *_window(x, W, y, geometry), hint, None)
    return dnnl.Primitive(descriptor, {
        dnnl.SRC: _activation(x), dnnl.DIFF_DST: _activation(y),
        dnnl.DIFF_WEIGHTS: dnnl.memory_desc(W)})


def _grouped(W, groups):
    """The shape of weights as oneDNN takes it: (O, C, kh, kw) or (G, O / G, C / G, kh, kw)."""
    return W if groups == 1 else (groups, W[0] // groups, *W[1:])


def _forward_descriptor(x, W, y, geometry, bias, dtype, ceiling=None):
    return dnnl.primitive_desc(
        'dnnl_convolution_forward_primitive_desc_create', dnnl.FORWARD, dnnl.DIRECT,
        _activation(x, dtype), dnnl.any_order(W, dtype), dnnl.memory_desc(y[1:2]) if bias else None,
        _activation(y), *_window(x, W, y, geometry),
        None if ceiling is None else dnnl.clipped(ceiling))


def _activation(shape, dtype=dnnl.FLOAT32):
    return dnnl.memory_desc(shape, dtype, channels_last=True)


def _window(x, W, y, geometry):
    """Strides, gaps between taps, padding before and padding after, as oneDNN takes them."""
    stride, pad, dilate = geometry
    # The padding ends where the last output reads; Chainer's padding can be less, or more.
    after = [max(0, (out - 1) * s + (k - 1) * d + 1 - p - size) for out, s, k, d, p, size in zip(
        y[2:], stride, W[-2:], dilate, pad, x[2:])]
    return [dnnl.dims(each) for each in (stride, [d - 1 for d in dilate], pad, after)]


def _empty(shape):
    return empty_channels_last(shape, np.float32, np)


def _has_bfloat16():
    cpuinfo = pathlib.Path('/proc/cpuinfo')
    flags = cpuinfo.read_text().split() if cpuinfo.exists() else ()
    return any(flag in flags for flag in BFLOAT16_FLAGS)
