"""Depthwise convolution by NumPy: each tap of the kernel is a product with a shifted image.

A product of matrices would have one row per channel, so BLAS has nothing to gain.
"""
from multibox.engines.convolution.windows import taps

import numpy as np


def convolve(x, W, geometry, out_size):
    """Return y (B, C, out_h, out_w) of x (B, C, H, W) and W (C, 1, kh, kw)."""
    y = np.zeros((*x.shape[:2], *out_size), x.dtype)
    for image, result in zip(x, y):  # one image fits the cache, a batch does not
        for weight, out, taken in _taps(W, geometry, out_size, x.shape[2:]):
            result[out] += weight * image[taken]
    return y


def input_gradient(gy, W, geometry, in_size):
    """Return gx (B, C, H, W) of gy (B, C, out_h, out_w) and W (C, 1, kh, kw)."""
    gx = np.zeros((*gy.shape[:2], *in_size), gy.dtype)
    for gradient, result in zip(gy, gx):
        for weight, out, taken in _taps(W, geometry, gy.shape[2:], in_size):
            result[taken] += weight * gradient[out]
    return gx


def weight_gradient(x, gy, geometry, kernel):
    """Return gW (C, 1, kh, kw) of x (B, C, H, W) and gy (B, C, out_h, out_w)."""
    gW = np.zeros((x.shape[1], 1, *kernel), x.dtype)
    for image, gradient in zip(x, gy):
        for weight, out, taken in _taps(gW, geometry, gy.shape[2:], x.shape[2:]):
            weight[:, 0, 0] += np.einsum('chw,chw->c', image[taken], gradient[out])
    return gW


def _taps(W, geometry, out_size, in_size):
    """Per tap: a view of its weights (C, 1, 1), and the indices of its outputs and inputs."""
    axes = tuple(zip(W.shape[2:], *geometry))
    for (i, j), out, taken in taps(axes, slice(0, out_size[0]), out_size[1], in_size):
        yield W[:, 0, i, j][:, None, None], out, taken
