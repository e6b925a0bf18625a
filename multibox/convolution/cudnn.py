"""Convolution on NVIDIA GPUs by cuDNN: float32, TF32, float16, bfloat16 products, float32 sums.

Activations and their gradients lie in memory with the channels innermost, the order tensor cores
read, as (B, C, H, W) views; innermost.py keeps them so between convolutions. What comes in another
order, as images and weights do, is copied.
"""
import functools

from multibox.convolution import graphs

import numpy as np
from chainer.backends import cuda

PRECISIONS = 'float32', 'tf32', 'float16', 'bfloat16'
ALIGNMENT = 16  # bytes, which a graph takes for granted


class CuDNN:
    """The engine. float16 arrays give float16 results; for float32 arrays ``precision`` decides.

    Attributes:
        precision: 'float32', or 'tf32', under which tensor cores may round factors to 10 bits of
            mantissa, or 'bfloat16', which rounds factors, bias and result to 7. Under 'float16',
            which is a matter of the arrays, float32 arrays are multiplied as under 'float32'.
    """

    def __init__(self):
        self.precision = 'float32'

    def missing(self):
        """What keeps this machine from using it, in words; None if nothing does."""
        return graphs.missing()

    def covers(self, arrays):
        """Whether all arrays are CuPy's, float32 or float16, and not empty."""
        return all(isinstance(a, cuda.ndarray) and a.size
                   and a.dtype in (np.float32, np.float16) for a in arrays)

    def convolve(self, x, W, b, geometry, out_size, relu=False):
        """Return y (B, O, out_h, out_w) of x (B, C, H, W), W (O, C, kh, kw) and b (O,) or None.

        With ``relu`` what is below 0 becomes 0.
        """
        shapes = (('x', x.shape), ('W', W.shape), ('y', (len(x), len(W), *out_size)))
        bias = () if b is None else (b.reshape(1, -1, 1, 1),)
        return self._compute('conv_fprop', shapes, geometry, (x, W, *bias), relu)

    def input_gradient(self, gy, W, geometry, in_size):
        """Return gx (B, C, H, W) of gy (B, O, out_h, out_w) and W (O, C, kh, kw)."""
        shapes = (('x', (len(gy), W.shape[1], *in_size)), ('W', W.shape), ('y', gy.shape))
        return self._compute('conv_dgrad', shapes, geometry, (gy, W))

    def weight_gradient(self, x, gy, geometry, kernel):
        """Return gW (O, C, kh, kw) of x (B, C, H, W) and gy (B, O, out_h, out_w)."""
        shapes = (('x', x.shape), ('W', (gy.shape[1], x.shape[1], *kernel)), ('y', gy.shape))
        gW = self._compute('conv_wgrad', shapes, geometry, (x, gy))
        return cuda.cupy.ascontiguousarray(gW)  # as the weights are: the optimizer reads both

    def _compute(self, operation, shapes, geometry, arrays, relu=False):
        dtype = arrays[0].dtype  # of the result too; weights and bias may have another
        factors = dtype.name
        if dtype == np.float32 and self.precision == 'bfloat16':
            factors = 'bfloat16'
        exact = factors == 'float32' and self.precision != 'tf32'
        plan = _plan(operation, shapes, geometry, factors, exact, len(arrays) == 3, relu,
                     cuda.cupy.cuda.Device().id)
        arrays = [_channels_last(array.astype(dtype, copy=False), factors) for array in arrays]
        n, c, h, w = plan.shape
        result = cuda.cupy.empty((n, h, w, c), arrays[0].dtype)
        plan(*arrays, result)
        if factors == 'bfloat16':
            result = _widen(result)
        return result.transpose(0, 3, 1, 2)


@functools.cache
def _plan(operation, shapes, geometry, factors, exact, bias, relu, device):
    return graphs.Plan(operation, dict(shapes), geometry, factors, exact, bias, relu)


def _channels_last(array, factors):
    """(N, C, H, W) as a contiguous (N, H, W, C), rounded to bfloat16 if the factors are that."""
    array = array.transpose(0, 2, 3, 1)
    if factors == 'bfloat16':
        return _round(array)  # into a new array, in its order
    array = cuda.cupy.ascontiguousarray(array)
    return array if graphs.pointer(array) % ALIGNMENT == 0 else array.copy()


def _round(array):
    """float32 to the nearest bfloat16, ties to even, as uint16: CuPy 13 has no such type."""
    return cuda.elementwise(
        'float32 x', 'uint16 y',
        '''unsigned int bits = __float_as_uint(x);
           y = x != x ? 0x7fff : (bits + 0x7fff + (bits >> 16 & 1)) >> 16;''',
        'round_to_bfloat16')(array)


def _widen(array):
    """bfloat16 as uint16 to float32."""
    return cuda.elementwise('uint16 x', 'float32 y',
                            'y = __uint_as_float((unsigned int)x << 16);', 'widen_bfloat16')(array)
