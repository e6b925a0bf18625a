"""Every kernel compiles for the GPUs it is written for; that takes CuPy and NVRTC, but no GPU."""
import pathlib
import re
import sysconfig

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


@pytest.mark.parametrize('arch', ['sm_80', 'sm_90'])
@pytest.mark.parametrize('source', KERNELS)
def test_all_its_kernels_compile(source, arch):
    options = ['-std=c++17', '-ftz=true', f'-arch={arch}',
               *(f'-I{folder}' for folder in include_folders())]
    nvrtc = pytest.importorskip('cupy.cuda').nvrtc
    program = nvrtc.createProgram((FOLDER / f'{source}.cu').read_text(), source, [], [])
    for kernel in KERNELS[source]:
        nvrtc.addNameExpression(program, kernel)
    try:
        nvrtc.compileProgram(program, options)
    except nvrtc.NVRTCError:
        pytest.fail(nvrtc.getProgramLog(program))
    assert all(nvrtc.getLoweredName(program, kernel) for kernel in KERNELS[source])


def test_no_kernel_is_forgotten():
    kernel = re.compile(r'__global__ void (?:__launch_bounds__\(\w+\)\s+)?(\w+)\(')
    written = {path.stem: set(kernel.findall(path.read_text())) for path in FOLDER.glob('*.cu')}
    assert written == {source: {name.partition('<')[0] for name in names}
                       for source, names in KERNELS.items()}
