"""Every kernel compiles for the GPUs it is written for; that takes CuPy and NVRTC, but no GPU."""
import importlib.util
import pathlib
import re
import sysconfig
import types

from multibox import compat
from multibox.gpu import FOLDER, arrays
from multibox.gpu.loss import TYPES

import pytest

KERNELS = {'loss': ['mark_largest', 'average<true>', 'average<false>'] + [
    f'{kernel}<{dtype}>' for dtype in TYPES.values()
    for kernel in ('cross_entropy', 'cross_entropy_gradient', 'mine', 'gradients')],
    **{source: [f'{kernel}<{dtype}{window}>' for dtype in arrays.TYPES.values()
                for kernel in kernels for window in windows]
       for source, kernels, windows in (
           ('pooling', ('max_pool', 'max_pool_gradient'), (', 2, 2, 2, 2', ', 3, 3, 1, 1')),
           ('normalize', ('normalize', 'normalize_gradient'), ('',)),
           ('momentum_sgd', ('update', 'find_nonfinite'), ('',)))}}


def include_folders():
    cuda = pytest.importorskip('cupy.cuda')
    packages = pathlib.Path(sysconfig.get_paths()['purelib'])
    folders = [*packages.glob('nvidia/*/include'),
               *(pathlib.Path(path) / 'include' for path in [cuda.get_cuda_path()] if path)]
    folders = [folder for folder in folders if (folder / 'cuda_fp16.h').exists()]
    return folders or pytest.skip('no headers of CUDA')


def compiled(code, name, *options):
    """The program, compiled for both generations of GPUs."""
    nvrtc = pytest.importorskip('cupy.cuda').nvrtc
    folders = [f'-I{folder}' for folder in include_folders()]
    for arch in 'sm_80', 'sm_90':
        program = nvrtc.createProgram(code, name, [], [])
        for kernel in KERNELS.get(name, ()):
            nvrtc.addNameExpression(program, kernel)
        try:
            nvrtc.compileProgram(program, ['-std=c++17', f'-arch={arch}', *folders, *options])
        except nvrtc.NVRTCError:
            pytest.fail(nvrtc.getProgramLog(program))
        yield program


@pytest.mark.parametrize('source', KERNELS)
def test_all_its_kernels_compile(source):
    code = (FOLDER / f'{source}.cu').read_text()
    nvrtc = pytest.importorskip('cupy.cuda').nvrtc
    for program in compiled(code, source):
        assert all(nvrtc.getLoweredName(program, kernel) for kernel in KERNELS[source])


def test_chainermns_kernels_compile():
    cupy = pytest.importorskip('cupy')
    chainers = types.SimpleNamespace(available=True, cupy=cupy, raw=lambda code: code)
    compat.declare_half(chainers)
    folder = pathlib.Path(importlib.util.find_spec('chainermn').origin).parent
    source = (folder / 'communicators' / '_memory_utility.py').read_text()
    codes = re.findall(r"cuda\.raw\(r'''(.*?)'''", source, re.DOTALL)
    assert len(codes) == 2
    for code in codes:
        assert list(compiled(chainers.raw(code), 'chainermn',
                             f'-I{pathlib.Path(cupy.__file__).parent}/_core/include'))


def test_no_kernel_is_forgotten():
    kernel = re.compile(r'__global__ void (?:__launch_bounds__\(\w+\)\s+)?(\w+)\(')
    written = {path.stem: set(kernel.findall(path.read_text())) for path in FOLDER.glob('*.cu')}
    assert written == {source: {name.partition('<')[0] for name in names}
                       for source, names in KERNELS.items()}
