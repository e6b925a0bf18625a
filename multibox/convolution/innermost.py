"""What stands between convolutions, on CuPy arrays whose channels are innermost in memory.

CuPy's results lie in the order of the axes: Chainer's ReLU would transpose its maps, and the next
convolution transpose them back. And CuPy sums whatever there is of 32 channels in one block of
threads, which takes longer than the convolution whose bias has that gradient.
"""
import numpy as np
from chainer.backends import cuda


def holds(x):
    """Whether ``x`` is a CuPy array (N, C, H, W) with its channels innermost in memory."""
    return isinstance(x, cuda.ndarray) and x.ndim == 4 and pixels(x).flags.c_contiguous


def pixels(x):
    """(N, C, H, W) as a view (N, H, W, C)."""
    return x.transpose(0, 2, 3, 1)


def maps(x):
    """(N, H, W, C) as a view (N, C, H, W)."""
    return x.transpose(0, 3, 1, 2)


def relu_gradient(y, gy):
    """``gy`` where ``y`` is positive, else 0: (N, C, H, W), in the order of ``y``."""
    return maps(cuda.elementwise('T y, T gy', 'T gx', 'gx = y > 0 ? gy : (T)0', 'relu_gradient')(
        pixels(y), pixels(gy)))


def sum_of_maps(x):
    """Sum (N, C, H, W) to (C,), at least in float32; an axis at a time occupies more blocks."""
    rows = pixels(x).sum(axis=2, dtype=np.promote_types(x.dtype, np.float32))  # (N, H, C)
    return rows.sum(axis=1).sum(axis=0).astype(x.dtype, copy=False)
