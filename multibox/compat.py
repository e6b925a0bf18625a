"""Make Chainer 7.8 and ChainerCV 0.13 importable on today's NumPy, Python and CuPy.

Importing this module is enough. It adds only names that are missing, so on an old
installation it changes nothing, and importing it twice changes nothing either.
"""
import importlib
import importlib.util
import sys
import types
import warnings
from importlib.machinery import PathFinder

import numpy as np


def restore_numpy_names(module=np):
    """Give back the names NumPy dropped that Chainer and ChainerCV still use.

    Args:
        module: the NumPy module, or a stand-in for it.
    """
    # NumPy 1.24 dropped the aliases: ChainerCV's datasets, masks and visualisations use them.
    # vars(), not hasattr: NumPy 1.26 answers the old names with an error, NumPy 2 kept np.bool.
    for alias in (bool, int, float, complex, object, str):
        if alias.__name__ not in vars(module):
            setattr(module, alias.__name__, alias)
    # NumPy 2.0 dropped sctypes: chainer.functions.as_strided reads it at import and in backward.
    if not hasattr(module, 'sctypes'):
        module.sctypes = {
            'int': [np.int8, np.int16, np.int32, np.int64],
            'uint': [np.uint8, np.uint16, np.uint32, np.uint64],
            'float': [np.float16, np.float32, np.float64],
            'complex': [np.complex64, np.complex128],
            'others': [bool, object, bytes, str, np.void],
        }


def stand_in_for_numpy_distutils():
    """Python 3.12 has no numpy.distutils, and NumPy 1.26's no longer imports beside setuptools 80:
    chainer imports it, to look for a BLAS on macOS only."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore', DeprecationWarning)
            importlib.import_module('numpy.distutils.system_info')
    except ImportError:
        package = types.ModuleType('numpy.distutils')
        package.system_info = types.ModuleType('numpy.distutils.system_info')
        package.system_info.get_info = lambda name: {}  # empty: nothing known about the BLAS
        sys.modules['numpy.distutils'] = np.distutils = package
        sys.modules['numpy.distutils.system_info'] = package.system_info


def nms_gpu_post(mask, n_bbox, threads_per_block, col_blocks):
    """Walk the overlap bits of ChainerCV's GPU suppression kernel and keep boxes greedily.

    Stands for ``chainercv.utils.bbox._nms_gpu_post``, a C extension that no longer compiles.

    Args:
        mask: (n_bbox * col_blocks,) uint64 on the host. Bit ``j`` of word ``b`` of row ``i`` is set
            where box ``threads_per_block * b + j`` comes after box ``i`` and overlaps it too much.
        n_bbox: number of boxes, best score first.
        threads_per_block: boxes in one word, at most 64.
        col_blocks: words in one row, ``ceil(n_bbox / threads_per_block)``.

    Returns:
        ``(selection, n_selection)``: (n_bbox,) int32, whose first ``n_selection`` entries are the
        kept boxes in order; the rest is 0.
    """
    rows = np.asarray(mask, np.uint64).reshape(n_bbox, col_blocks)
    suppressed = np.zeros(col_blocks, np.uint64)
    selection = np.zeros(n_bbox, np.int32)
    n_selection = 0
    for i in range(n_bbox):
        block, bit = divmod(i, threads_per_block)
        if int(suppressed[block]) >> bit & 1:
            continue
        selection[n_selection] = i
        n_selection += 1
        suppressed |= rows[i]
    return selection, n_selection


def provide_nms_gpu_post():
    """Put :func:`nms_gpu_post` where ChainerCV imports its C extension from, if that is missing."""
    name = 'chainercv.utils.bbox._nms_gpu_post'
    chainercv = importlib.util.find_spec('chainercv')  # finds without importing
    if chainercv is None or name in sys.modules:
        return
    folders = [f'{path}/utils/bbox' for path in chainercv.submodule_search_locations]
    if PathFinder.find_spec(name, folders) is None:
        module = types.ModuleType(name, nms_gpu_post.__doc__)
        module._nms_gpu_post = nms_gpu_post
        sys.modules[name] = module


def import_chainer_quietly():
    """Import both once without the warnings their age causes; those of our own code stay."""
    with warnings.catch_warnings():
        # pkg_resources and distutils deprecations, invalid escapes in docstrings
        warnings.simplefilter('ignore')
        import chainer
        import chainercv  # noqa: F401
    # CuPy 14 has no cuDNN to install, as Chainer would advise at the first use of a GPU.
    chainer.backends.cuda.check_cuda_available._already_warned = True


def declare_half(cuda):
    """Give raw kernels the type ``half``, which CuPy's own headers no longer declare since 14.

    ChainerMN's two kernels, around every exchange of gradients between GPUs, do not compile
    without.

    Args:
        cuda: ``chainer.backends.cuda``, or a stand-in for it.
    """
    if cuda.available and int(cuda.cupy.__version__.partition('.')[0]) >= 14:
        raw = cuda.raw
        cuda.raw = lambda code, *args, **options: raw(
            '#include <cuda_fp16.h>\n' + code, *args, **options)


restore_numpy_names()
stand_in_for_numpy_distutils()
provide_nms_gpu_post()
import_chainer_quietly()
declare_half(sys.modules['chainer'].backends.cuda)
