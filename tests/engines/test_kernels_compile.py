"""Every kernel compiles for the GPUs it is written for.

The tests need CuPy and NVRTC, but no GPU.
"""
import ast
import importlib.util
import pathlib
import re
import sys
import sysconfig
import types

from multibox import compat
from multibox.engines import kernels

import numpy as np
import pytest

ROOT = pathlib.Path(__file__).parents[2]
SOURCES = {path.stem: path for path in (ROOT / 'multibox').rglob('*.cu')}
WIDTHS = {'float': (4, 1), '__half': (8, 1), '__nv_bfloat16': (8, 1)}  # elements per load
KERNELS = {
    'activation': [f'add_rows<{dtype}>' for dtype in kernels.TYPES.values()] + [
        f'{kernel}<{dtype}, {width}{options}>' for dtype, widths in WIDTHS.items()
        for width in widths for kernel, options in (
            ('add', ''), ('rectify', ', true, true, true'), ('rectify', ', true, true, false'),
            ('rectify', ', true, false, true'), ('rectify', ', false, false, true'))],
    'loss': ['mark_largest', 'average<true>', 'average<false>'] + [
        f'{kernel}<{dtype}>' for dtype in kernels.TYPES.values()
        for kernel in ('cross_entropy', 'cross_entropy_gradient', 'mine', 'gradients')],
    'pooling': [
        f'{kernel}<{dtype}, {width}{relu}{window}>' for dtype, (width, *_) in WIDTHS.items()
        for kernel, relu in (('max_pool', ', true'), ('max_pool', ', false'),
                             ('max_pool_gradient', ''))
        for window in (', 2, 2, 2, 2', ', 3, 3, 1, 1')],
    'joining': [f'{kernel}<{dtype}>' for dtype in kernels.TYPES.values()
                for kernel in ('join', 'split')],
    'normalize': [f'{kernel}<{dtype}, {width}>' for dtype, widths in WIDTHS.items()
                  for width in widths for kernel in ('normalize', 'normalize_gradient')],
    'suppression': [f'{kernel}<{dtype}>' for dtype in ('float', 'double')
                    for kernel in ('suppress', 'collect')],
    'updates': ['adapt'] + [f'{kernel}<{dtype}>' for dtype in kernels.TYPES.values()
                            for kernel in ('update', 'update_adam', 'find_nonfinite')]}
NODES = [node for folder in ('multibox', 'experiments')
         for path in sorted((ROOT / folder).rglob('*.py'))
         for node in ast.walk(ast.parse(path.read_text()))]
ELEMENTWISE = [[argument.value for argument in node.args] for node in NODES
               if isinstance(node, ast.Call) and getattr(node.func, 'attr', '') == 'elementwise']
RAW = [node.value for node in NODES
       if isinstance(node, ast.Constant) and '__global__ void' in str(node.value)]


def include_folders():
    cuda = pytest.importorskip('cupy.cuda')
    packages = pathlib.Path(sysconfig.get_paths()['purelib'])
    folders = [*packages.glob('nvidia/*/include'),
               *(pathlib.Path(path) / 'include' for path in [cuda.get_cuda_path()] if path)]
    folders = [folder for folder in folders if (folder / 'cuda_fp16.h').exists()]
    return folders or pytest.skip('no headers of CUDA')


def compiled(source, arch, names=(), folders=()):
    """Compile a source with CuPy's options. Returns the kernels' names in the machine code."""
    nvrtc = pytest.importorskip('cupy.cuda').nvrtc
    program = nvrtc.createProgram(source, 'kernel.cu', [], [])
    for name in names:
        nvrtc.addNameExpression(program, name)
    try:
        nvrtc.compileProgram(program, ['-std=c++17', '-ftz=true', f'-arch={arch}', *(
            f'-I{folder}' for folder in (*folders, *include_folders()))])
    except nvrtc.NVRTCError:
        pytest.fail(nvrtc.getProgramLog(program))
    return [nvrtc.getLoweredName(program, name) for name in names]


@pytest.mark.parametrize('arch', ['sm_80', 'sm_90'])
@pytest.mark.parametrize('source', KERNELS)
def test_all_its_kernels_compile(source, arch):
    assert all(compiled(SOURCES[source].read_text(), arch, KERNELS[source]))


def cupy_core(module):
    return pytest.importorskip(f'cupy._core.{module}')


def elementwise_source(arguments, T):
    """The code that CuPy generates from the arguments of an ``ElementwiseKernel``.

    The arrays have 4 axes and are not contiguous. T is the type of arrays without a given type.
    """
    cupy, kernel = pytest.importorskip('cupy'), cupy_core('_kernel')
    compute = cupy.ElementwiseKernel(*arguments)
    *arrays, _ = compute.params
    dtypes = [np.dtype(T if array.dtype is None else array.dtype) for array in arrays]
    info = [kernel._ArgInfo(1, cupy.ndarray, dtype, 4, False, False) for dtype in dtypes]
    indexer = kernel._ArgInfo(2, cupy_core('_carray').Indexer, None, 4, True, False)
    letters = {(array.ctype, np.dtype(T)) for array in arrays if array.dtype is None}
    return kernel._get_elementwise_kernel_code(
        (*info, indexer), kernel._TypeMap(tuple(letters)), compute.params, compute.operation,
        compute.name, compute.preamble)


@pytest.mark.parametrize('arch', ['sm_80', 'sm_90'])
@pytest.mark.parametrize('T', ['float16', 'bfloat16', 'float32', 'float64'])
@pytest.mark.parametrize('arguments', ELEMENTWISE, ids=lambda arguments: arguments[3])
def test_element_wise_kernels_compile(arguments, T, arch):
    if T == 'bfloat16':
        T = pytest.importorskip('ml_dtypes').bfloat16
    folder = pathlib.Path(cupy_core('core')._get_header_dir_path())
    cccl = [folder / 'cupy' / '_cccl' / name for name in ('cub', 'thrust', 'libcudacxx')]
    compiled('#include <cupy/complex.cuh>\n#include <cupy/carray.cuh>\n'
             + elementwise_source(arguments, T), arch, folders=(*cccl, folder))


@pytest.mark.parametrize('arch', ['sm_80', 'sm_90'])
@pytest.mark.parametrize('source', RAW, ids=range(len(RAW)))
def test_kernels_within_python_compile(source, arch):
    compiled(source, arch)


@pytest.mark.parametrize('arch', ['sm_80', 'sm_90'])
def test_chainermns_kernels_compile(arch):
    chainers = types.SimpleNamespace(available=True, cupy=pytest.importorskip('cupy'),
                                     raw=lambda code: code)
    compat.declare_half(chainers)
    package = pathlib.Path(importlib.util.find_spec('chainermn').origin).parent
    source = (package / 'communicators' / '_memory_utility.py').read_text()
    codes = re.findall(r"cuda\.raw\(r'''(.*?)'''", source, re.DOTALL)
    assert len(codes) == 2
    for code in codes:
        compiled(chainers.raw(code), arch, folders=[cupy_core('core')._get_header_dir_path()])


def test_no_kernel_is_forgotten():
    kernel = re.compile(r'__global__ void (?:__launch_bounds__\(\w+\)\s+)?(\w+)\(')
    written = {name: set(kernel.findall(path.read_text())) for name, path in SOURCES.items()}
    assert written == {source: {name.partition('<')[0] for name in names}
                       for source, names in KERNELS.items()}


def test_cupy_is_told_what_to_compile_and_to_launch(monkeypatch):
    told = []

    class RawModule:
        def __init__(self, **options):
            told.append(options)

        def get_function(self, kernel):
            return lambda *args: told.append((kernel, *args))
    monkeypatch.setitem(sys.modules, 'cupy', types.SimpleNamespace(RawModule=RawModule))
    kernels._function.cache_clear()
    for n in 1, 2:
        kernels.launch(SOURCES['loss'], 'average<true>', 3, 32, 'array', n)
    kernels._function.cache_clear()
    assert told == [{'code': SOURCES['loss'].read_text(), 'options': ('-std=c++17',),
                     'name_expressions': ('average<true>',)},
                    ('average<true>', (3,), (32,), ('array', 1)),
                    ('average<true>', (3,), (32,), ('array', 2))]
    array = types.SimpleNamespace(data=types.SimpleNamespace(ptr=7))
    assert kernels.address(array) == 7
