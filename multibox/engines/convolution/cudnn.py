"""Convolution on NVIDIA GPUs by cuDNN: float32, TF32, float16 or bfloat16 products, float32 sums.

Activations and their gradients stay channels last in memory, the order that tensor cores read.
Arrays in another order, such as images and weights, are copied.
"""
import functools
import math

from multibox.engines import bfloat16, kernels, layout
from multibox.engines.convolution import graphs
from multibox.engines.convolution.forms import Problem
from multibox.engines.convolution.plans import Plan

import numpy as np
from chainer.backends import cuda

PRECISIONS = 'float32', 'tf32', 'float16', 'bfloat16'
ALIGNMENT = 16  # bytes; a graph assumes that all addresses are multiples


class CuDNN:
    """The engine ``cudnn``. The result has the dtype of the images: float32, float16 or bfloat16.

    Args:
        precision: the precision in which float32 arrays are multiplied. With 'float32' factors stay
            as they are. With 'tf32' tensor cores may round factors to 10 bits of mantissa. With
            'bfloat16' factors, bias and result are rounded to 7 bits of mantissa. 'float16' acts
            as 'float32', because the arrays are then float16 themselves.
    """

    def __init__(self, precision='float32'):
        self.precision = precision

    def missing(self):
        """The reason why this machine cannot use the engine, in words; None if it can."""
        return graphs.missing()

    def covers(self, arrays):
        """Whether all arrays are CuPy's, not empty, and each float32, float16 or bfloat16."""
        return all(isinstance(a, cuda.ndarray) and a.size
                   and a.dtype.name in graphs.DATA_TYPES for a in arrays)

    def convolve(self, x, W, b, geometry, out_size, relu=False, ceiling=math.inf):
        """Return y (B, O, out_h, out_w) of x (B, C, H, W), W (O, C / G, kh, kw), b (O,) or None.

        With ``relu`` negative results become 0, and larger results become ``ceiling``.
        """
        shapes = (('x', x.shape), ('W', W.shape), ('y', (len(x), len(W), *out_size)))
        bias = () if b is None else (b.reshape(1, -1, 1, 1),)
        y = self._compute('conv_fprop', shapes, geometry, (x, W, *bias), relu)
        if relu and ceiling < math.inf:
            pixels = layout.pixels(y)
            cuda.cupy.minimum(pixels, y.dtype.type(ceiling), out=pixels)
        return y

    def input_gradient(self, gy, W, geometry, in_size, groups=1):
        """Return gx (B, C, H, W) of gy (B, O, out_h, out_w) and W (O, C / G, kh, kw)."""
        shapes = (('x', (len(gy), groups * W.shape[1], *in_size)), ('W', W.shape), ('y', gy.shape))
        return self._compute('conv_dgrad', shapes, geometry, (gy, W))

    def weight_gradient(self, x, gy, geometry, kernel, groups=1):
        """Return gW (O, C / G, kh, kw) of x (B, C, H, W) and gy (B, O, out_h, out_w)."""
        W = gy.shape[1], x.shape[1] // groups, *kernel
        shapes = (('x', x.shape), ('W', W), ('y', gy.shape))
        gW = self._compute('conv_wgrad', shapes, geometry, (x, gy))
        return cuda.cupy.ascontiguousarray(gW)  # the order of the weights: an update reads both

    def _compute(self, operation, shapes, geometry, arrays, relu=False):
        own = dtype = arrays[0].dtype  # of the result too; weights and bias may have another
        if own == np.float32 and self.precision == 'bfloat16':
            dtype = bfloat16.dtype()
        exact = dtype == np.float32 and self.precision != 'tf32'
        plan = _plan(operation, shapes, geometry, dtype.name, exact, len(arrays) == 3, relu,
                     cuda.cupy.cuda.Device().id)
        arrays = [_operand(array.astype(dtype, copy=False)) for array in arrays]
        result = layout.empty_channels_last(plan.shape, dtype, cuda.cupy)
        plan(*arrays, layout.pixels(result))
        return result.astype(own, copy=False)  # in the same memory order


@functools.cache
def _plan(operation, shapes, geometry, dtype, exact, bias, relu, device):
    return Plan(Problem(operation, shapes, geometry, dtype, exact, bias, relu))


def _operand(array):
    """(B, C, H, W) as a contiguous and aligned (B, H, W, C)."""
    array = cuda.cupy.ascontiguousarray(layout.pixels(array))
    return array if kernels.address(array) % ALIGNMENT == 0 else array.copy()
