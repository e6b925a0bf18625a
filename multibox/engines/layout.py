"""The order in memory of maps (B, C, H, W): channels first, or channels last.

oneDNN and tensor cores read maps fastest with the channels innermost in memory. Between layers
such maps are views (B, C, H, W) of contiguous arrays (B, H, W, C).
"""
from collections.abc import Callable
from typing import Any

from multibox.typing import Array

from chainer.backends import cuda


def pixels(x: Array) -> Array:
    """(B, C, H, W) as a view (B, H, W, C)."""
    return x.transpose(0, 2, 3, 1)


def maps(x: Array) -> Array:
    """(B, H, W, C) as a view (B, C, H, W)."""
    return x.transpose(0, 3, 1, 2)


def is_channels_last(x: Array) -> bool:
    """Whether ``x`` is a contiguous (B, C, H, W) array with the channels innermost in memory."""
    return x.ndim == 4 and pixels(x).flags.c_contiguous


def to_channels_last(x: Array) -> Array:
    """``x`` itself if its channels are innermost in memory, else a copy with that order."""
    return maps(cuda.get_array_module(x).ascontiguousarray(pixels(x)))


def empty_channels_last(shape: tuple, dtype: Any, xp: Any) -> Array:
    """An uninitialised (B, C, H, W) array with the channels innermost in memory."""
    n, c, h, w = shape
    return maps(xp.empty((n, h, w, c), dtype))


def strides(shape: tuple, channels_last: bool = False) -> list[int]:
    """Strides in elements of a contiguous array, or of (B, C, H, W) with the channels innermost."""
    order = (0, 2, 3, 1) if channels_last else range(len(shape))
    result, step = [0] * len(shape), 1
    for axis in reversed(order):
        result[axis], step = step, step * shape[axis]
    return result


def empty_like(x: Array, shape: tuple, dtype: Any, xp: Any) -> Array:
    """An uninitialised (B, C, H, W) array of ``shape`` in the memory order of ``x``."""
    return (empty_channels_last if is_channels_last(x) else _empty_channels_first)(shape, dtype, xp)


def memory_order(x: Array) -> tuple[Callable[[Array], Array], Callable[[Array], Array]]:
    """Two functions, which take (B, C, H, W) to the memory order of ``x`` and back.

    An ``x`` that is not contiguous counts as channels first.
    """
    return (pixels, maps) if is_channels_last(x) else (_same, _same)


def _same(x):
    return x


def _empty_channels_first(shape, dtype, xp):
    return xp.empty(shape, dtype)
