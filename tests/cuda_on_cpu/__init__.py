"""Run the CUDA kernels of multibox/gpu on NumPy arrays: with a C++ compiler, without a GPU."""
import ctypes
import functools
import hashlib
import shutil
import subprocess
import tempfile
from pathlib import Path

from multibox.gpu import FOLDER

import numpy as np

HERE = Path(__file__).parent
COMPILER = shutil.which('g++')


def launch(source, kernel, grid, block, *args, seed=0):
    """What ``multibox.gpu.launch`` does, on NumPy arrays; ``seed`` orders blocks and threads."""
    for arg in args:
        if not arg.flags.c_contiguous:
            raise ValueError(f'{kernel}: an array of shape {arg.shape} is not contiguous')
    # A scalar or a structure is passed itself, of another array its address.
    values = [np.array(arg.ctypes.data) if isinstance(arg, np.ndarray) and not arg.dtype.names
              else np.asarray(arg) for arg in args]
    pointers = (ctypes.c_void_p * len(values))(*[value.ctypes.data for value in values])
    if _function(source, kernel)(grid, block, pointers, seed):
        raise RuntimeError(f'{source}.cu, {kernel}: some threads wait at a barrier for ever')


@functools.cache
def _function(source, kernel):
    code = (f'#include "cuda.hpp"\n#include "{FOLDER / source}.cu"\n'
            'extern "C" int run(unsigned grid, unsigned block, void** args, unsigned seed)\n'
            f'{{ return on_cpu::run<{kernel}>({kernel}, grid, block, args, seed); }}\n')
    name = hashlib.sha256(kernel.encode()).hexdigest()[:16]
    library = _folder() / f'{source}-{name}.so'
    subprocess.run([COMPILER, '-std=c++17', '-O1', '-U_FORTIFY_SOURCE', '-ffp-contract=off', '-w',
                    '-shared', '-fPIC', f'-I{HERE}', '-x', 'c++', '-', '-o', library],
                   input=code, text=True, check=True)
    return ctypes.CDLL(str(library)).run


@functools.cache
def _folder():
    return Path(tempfile.mkdtemp(prefix='cuda-on-cpu-'))
