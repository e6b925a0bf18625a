"""The CUDA kernels in this folder's .cu files, compiled by CuPy when they are first launched."""
import functools
from pathlib import Path

from chainer.backends import cuda

FOLDER = Path(__file__).parent


def holds(array):
    """Whether an array is on a GPU."""
    return isinstance(array, cuda.ndarray)


def address(array):
    """Where an array on a GPU begins, an int."""
    return array.data.ptr


def launch(source, kernel, grid, block, *args):
    """Run a kernel on the current device and stream, without waiting for it.

    Args:
        source: name of a file of this folder without its suffix, such as ``'loss'``.
        kernel: name of a ``__global__`` function with its template arguments, such as
            ``'gradient<float>'``.
        grid, block: int, number of blocks and of threads in a block; not 0.
        args: arrays of the current device, contiguous, and NumPy scalars and structures (0-d NumPy
            arrays), passed by value; their types are the kernel's parameters', which only the
            stand-in of the tests checks.
    """
    _function(source, kernel)((grid,), (block,), args)


@functools.cache
def _function(source, kernel):
    import cupy

    code = (FOLDER / f'{source}.cu').read_text(encoding='utf-8')
    module = cupy.RawModule(code=code, options=('-std=c++17',), name_expressions=(kernel,))
    return module.get_function(kernel)
