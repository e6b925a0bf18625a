"""Make Chainer 7.8 and ChainerCV 0.13 importable on today's NumPy, Python and CuPy.

A finder watches for the first import of each package and repairs the environment just before it.
The order of imports therefore does not matter. ``multibox-setup`` lets every Python process of its
environment load this file at start-up, so NumPy is imported where it is needed, not at the top.
Only missing names are added, and loading this file twice changes nothing.
"""
import contextlib
import importlib
import importlib.util
import sys
import types
import warnings
from collections.abc import Iterable
from functools import partial
from importlib.machinery import PathFinder
from typing import Any

PACKAGES = 'chainer', 'chainercv', 'chainermn'


class MissingChainer(ImportError):
    """Chainer or ChainerCV is not installed; Python shows the message without a traceback."""


class RepairingFinder:
    """Finds the packages as the other finders do, and repairs what their import needs."""

    def find_spec(self, name, path=None, target=None):
        """Return a spec whose loader makes the repairs around the import; None for other names."""
        if name not in PACKAGES:
            return None
        others = [finder for finder in sys.meta_path if finder is not self]
        spec = next(filter(None, (finder.find_spec(name, path, target) for finder in others)), None)
        if spec is None or spec.loader is None:
            return spec
        execute = spec.loader.exec_module

        def repair_and_execute(module):
            prepare(module)
            try:
                with warnings.catch_warnings():
                    # pkg_resources and distutils are deprecated; docstrings hold invalid escapes.
                    warnings.simplefilter('ignore')
                    execute(module)
            except BaseException:
                if target is None:  # an import, not a reload
                    forget_submodules(name)
                raise
            finish(module)

        spec.loader.exec_module = repair_and_execute
        return spec


def forget_submodules(name: str) -> None:
    """Drop the modules that an import of a package left behind when it failed.

    Python drops the package itself but keeps its submodules, which make a second import fail.
    """
    for module in list(sys.modules):
        if module.startswith(f'{name}.'):
            del sys.modules[module]


def prepare(package: types.ModuleType) -> None:
    """Repair NumPy, and replace ChainerCV's missing extension, before a package is executed."""
    restore_numpy_names()
    stand_in_for_numpy_distutils()
    if importlib.util.find_spec('distutils') is None:  # Python 3.12 has none
        import setuptools  # noqa: F401  provides one
    if package.__name__ == 'chainercv':
        provide_nms_gpu_post(package.__path__)


def finish(package: types.ModuleType) -> None:
    """Repair Chainer after it is executed."""
    if package.__name__ == 'chainer':
        # Chainer would advise to install cuDNN for CuPy, which CuPy 14 cannot use.
        package.backends.cuda.check_cuda_available._already_warned = True
        declare_half(package.backends.cuda)


def restore_numpy_names(module: Any = None) -> None:
    """Restore the names that NumPy dropped and that Chainer and ChainerCV still use.

    Args:
        module: the module to change; None means NumPy.
    """
    import numpy as np
    module = np if module is None else module
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


def stand_in_for_numpy_distutils() -> None:
    """Provide ``numpy.distutils``, which Chainer always imports but uses on macOS only.

    NumPy has none under Python 3.12, and that of NumPy 1.26 fails to import beside setuptools 80.
    """
    import numpy as np
    try:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore', DeprecationWarning)
            importlib.import_module('numpy.distutils.system_info')
    except ImportError:
        package: Any = types.ModuleType('numpy.distutils')
        package.system_info = types.ModuleType('numpy.distutils.system_info')
        package.system_info.get_info = lambda name: {}  # an empty dict: no BLAS is known
        sys.modules['numpy.distutils'] = np.distutils = package
        sys.modules['numpy.distutils.system_info'] = package.system_info


def nms_gpu_post(mask: Any, n_bbox: int, threads_per_block: int, col_blocks: int) -> tuple:
    """Walk the overlap bits of ChainerCV's GPU suppression kernel and keep boxes greedily.

    Stands for ``chainercv.utils.bbox._nms_gpu_post``, a C extension that no longer compiles.

    Args:
        mask: (n_bbox * col_blocks,) uint64 on the host. Bit ``j`` of word ``b`` of row ``i`` is set
            where box ``threads_per_block * b + j`` comes after box ``i`` and overlaps it too much.
        n_bbox: number of boxes, best score first.
        threads_per_block: boxes per word, at most 64.
        col_blocks: words per row, ``ceil(n_bbox / threads_per_block)``.

    Returns:
        ``(selection, n_selection)``: (n_bbox,) int32, whose first ``n_selection`` entries are the
        kept boxes in order; the rest is 0.
    """
    import numpy as np
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


def provide_nms_gpu_post(folders: Iterable[str]) -> None:
    """Let ChainerCV import :func:`nms_gpu_post` if its C extension is missing.

    Args:
        folders: the folders of the package ChainerCV.
    """
    name = 'chainercv.utils.bbox._nms_gpu_post'
    if PathFinder.find_spec(name, [f'{folder}/utils/bbox' for folder in folders]) is None:
        module: Any = types.ModuleType(name, nms_gpu_post.__doc__)
        module._nms_gpu_post = nms_gpu_post
        sys.modules[name] = module


def declare_half(cuda: Any) -> None:
    """Declare the type ``half`` in raw kernels, as CuPy's own headers did before CuPy 14.

    Two kernels of ChainerMN, which run around every exchange of gradients between GPUs, do not
    compile without it.

    Args:
        cuda: ``chainer.backends.cuda``, or a stand-in for it.
    """
    if not cuda.available:
        return
    raw = cuda.raw

    def raw_with_half(code, *args, **options):
        return raw('#include <cuda_fp16.h>\n' + code, *args, **options)

    if raw.__name__ != raw_with_half.__name__:
        cuda.raw = raw_with_half


def install() -> None:
    """Watch for imports of the packages, and repair those that are imported already."""
    if all(type(finder).__name__ != RepairingFinder.__name__ for finder in sys.meta_path):
        sys.meta_path.insert(0, RepairingFinder())
        for name in PACKAGES:
            if name not in sys.modules:
                forget_submodules(name)
                continue
            prepare(sys.modules[name])
            # Another thread may be importing it: wait for the end; after an error, it is repaired.
            with contextlib.suppress(Exception):
                finish(importlib.import_module(name))


def require_chainer() -> None:
    """Refuse to go on where Chainer or ChainerCV is missing.

    Raises:
        MissingChainer: the message names the command that installs both.
    """
    missing = [name for name in ('chainer', 'chainercv')
               if name not in sys.modules and importlib.util.find_spec(name) is None]
    if missing:
        sys.excepthook = partial(_show_message_alone, sys.excepthook)
        raise MissingChainer(
            f'{sys.executable} has no {" and no ".join(missing)}: run multibox-setup, or, in a '
            'checkout, make setup and then .venv/bin/python')


def _show_message_alone(show, kind, error, trace):
    if issubclass(kind, MissingChainer):
        print(error, file=sys.stderr)
    else:
        show(kind, error, trace)


install()
if __name__ == 'multibox.compat':  # not at Python's start-up, where Chainer may not be needed
    require_chainer()
    # Whole packages come before their modules: another thread may be importing them.
    import chainer  # noqa: F401
    import chainercv  # noqa: F401
