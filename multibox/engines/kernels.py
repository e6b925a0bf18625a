"""Launches of CUDA kernels. CuPy compiles a kernel of a .cu file at its first launch."""
import functools
from pathlib import Path
from typing import Any

from chainer.backends import cuda

# The CUDA type of each dtype that the kernels accept; bfloat16 is the dtype of ml_dtypes.
TYPES = {'float32': 'float', 'float16': '__half', 'bfloat16': '__nv_bfloat16'}


def is_on_gpu(array: Any) -> bool:
    """Whether an array is on a GPU."""
    return isinstance(array, cuda.ndarray)


def address(array: Any) -> int:
    """The address of an array on its GPU."""
    return array.data.ptr


def takes(*arrays: Any) -> bool:
    """Whether all arrays are on a GPU and have a dtype of :data:`TYPES`."""
    return all(is_on_gpu(array) and array.dtype.name in TYPES for array in arrays)


def vector(length: int, *arrays: Any) -> int:
    """The number of neighbouring elements that a thread of a kernel loads at once.

    Args:
        length: number of elements that are contiguous in memory.
        arrays: contiguous arrays; the elements of none are larger than those of the first. A load
            must not begin at an odd address.

    Returns:
        The largest power of 2 that divides ``length`` and makes at most 16 bytes.
    """
    size = arrays[0].dtype.itemsize
    width = 16 // size
    while length % width or any(address(array) % (width * size) for array in arrays):
        width //= 2
    return width


def launch(source: Path, kernel: str, grid: int, block: int, *args: Any) -> None:
    """Run a kernel on the current device and stream, without waiting for it.

    Args:
        source: path of the .cu file.
        kernel: name of a ``__global__`` function with its template arguments, such as
            ``'gradient<float>'``.
        grid, block: number of blocks and threads per block, at least 1.
        args: contiguous arrays of the current device; NumPy scalars and structures (0-dimensional
            NumPy arrays) are passed by value. CUDA does not check their types.
    """
    _function(source, kernel)((grid,), (block,), args)


@functools.cache
def _function(source, kernel):
    import cupy

    code = source.read_text(encoding='utf-8')
    module = cupy.RawModule(code=code, options=('-std=c++17',), name_expressions=(kernel,))
    return module.get_function(kernel)
