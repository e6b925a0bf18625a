"""Run the CUDA kernels of multibox on NumPy arrays. This takes a C++ compiler, but no GPU."""
import ctypes
import functools
import shutil
import subprocess
import tempfile
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
COMPILER = shutil.which('g++')


def launch(source, kernel, grid, block, *args, seed=0):
    """Stand in for ``multibox.engines.kernels.launch`` on NumPy arrays.

    ``seed`` decides the order of blocks and threads.

    Raises:
        TypeError: an argument has another type than the kernel's parameter. CUDA would
            reinterpret its bytes.
        ValueError: CUDA refuses such a launch, or an array is not contiguous.
        RuntimeError: some threads wait at a barrier for ever.
    """
    library = _library(source, kernel)
    wanted, given = library.types().decode(), ''.join(f'{_type(arg)} ' for arg in args)
    if given != wanted:
        raise TypeError(f'{kernel} takes {wanted}and was given {given}')
    if not (0 < grid < 2 ** 31 and 0 < block <= 1024):
        raise ValueError(f'{kernel}: {grid} blocks of {block} threads')
    for arg in args:
        if not arg.flags.c_contiguous:
            raise ValueError(f'{kernel}: an array of shape {arg.shape} is not contiguous')
    # Scalars and structures are passed by value, other arrays by their address.
    values = [np.array(arg.ctypes.data) if _type(arg)[0] == '*' else np.asarray(arg)
              for arg in args]
    pointers = (ctypes.c_void_p * len(values))(*[value.ctypes.data for value in values])
    if library.run(grid, block, pointers, seed):
        raise RuntimeError(f'{source.name}, {kernel}: some threads wait at a barrier for ever')


def _type(arg):
    """The name that the function ``types`` of cuda.hpp gives to the type."""
    if arg.dtype.names:
        return str(arg.dtype.itemsize)
    return '*' * isinstance(arg, np.ndarray) + arg.dtype.char


@functools.cache
def _library(source, kernel):
    code = (f'#include "cuda.hpp"\n#include "{source}"\n'
            f'extern "C" const char* types() {{ return on_cpu::types({kernel}); }}\n'
            'extern "C" int run(unsigned grid, unsigned block, void** args, unsigned seed)\n'
            f'{{ return on_cpu::run<{kernel}>({kernel}, grid, block, args, seed); }}\n')
    library = _compiled(code)
    library.types.restype = ctypes.c_char_p
    return library


def elementwise(inputs, outputs, body, name):
    """Stand in for ``cupy.ElementwiseKernel`` with NumPy arrays of one shape and one output."""
    kinds, names = zip(*(each.split() for each in f'{inputs},{outputs}'.split(',')))

    def compute(*arrays):
        types = {}
        for kind, array in zip(kinds, arrays):
            dtype = types.setdefault(kind, array.dtype if len(kind) == 1 else np.dtype(kind))
            if array.dtype != dtype:
                raise TypeError(f'{name}: an array of {array.dtype}, where {kind} is {dtype}')
        result = np.empty(arrays[0].shape, types.get(kinds[-1], kinds[-1]))
        arrays = [*map(np.ascontiguousarray, arrays), result]
        code = '\n'.join((
            '#include "cuda.hpp"\n#include "cuda_bf16.h"\n#include "cuda_fp16.h"',
            'typedef __half float16; typedef __nv_bfloat16 bfloat16; typedef float float32;',
            *(f'typedef {dtype.name} {kind};' for kind, dtype in types.items() if len(kind) == 1),
            'extern "C" void run(void** arrays, size_t size) {',
            'const on_cpu::FlushToZero as_cupy;\nfor (size_t i = 0; i < size; ++i) {',
            *(f'{kind}& {name} = static_cast<{kind}*>(arrays[{n}])[i];'
              for n, (kind, name) in enumerate(zip(kinds, names))), f'{body};', '}}'))
        pointers = (ctypes.c_void_p * len(arrays))(*[array.ctypes.data for array in arrays])
        _compiled(code).run(pointers, ctypes.c_size_t(result.size))
        return result
    return compute


@functools.cache
def _compiled(code):
    with tempfile.TemporaryDirectory() as folder:
        library = Path(folder, 'kernel.so')
        _compile(f'-I{_precompiled().name}', f'-I{HERE}', '-shared', '-x', 'c++', '-',
                 '-o', library, input=code, text=True)
        return ctypes.CDLL(str(library))


@functools.cache
def _precompiled():
    """A folder with the header as GCC's precompiled header, which halves the time per kernel."""
    folder = tempfile.TemporaryDirectory()
    _compile('-x', 'c++-header', HERE / 'cuda.hpp', '-o', Path(folder.name, 'cuda.hpp.gch'))
    return folder


def _compile(*args, **options):
    subprocess.run([COMPILER, '-std=c++17', '-O1', '-U_FORTIFY_SOURCE', '-ffp-contract=off', '-w',
                    '-fPIC', *args], check=True, **options)
