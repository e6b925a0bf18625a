"""Fixtures shared by all tests."""
import contextlib
import functools
import importlib
import os
import pathlib

from multibox import engines
from multibox.data.synthetic import draw_set
from multibox.engines import kernels
from multibox.engines.pooling.function import MaxPooling, MaxPoolingGradient
from tests.support import cuda_on_cpu

import chainer
import hypothesis
import numpy as np
import pytest

# No deadline: on a busy machine an example may have to wait for a core.
hypothesis.settings.register_profile('busy machines', deadline=None)
hypothesis.settings.load_profile('busy machines')
GOLDEN = pathlib.Path(__file__).parent / 'golden'


@pytest.fixture(scope='session', autouse=True)
def cache(tmp_path_factory):
    """A cache folder of this run. It links to the user's caches, but not to those of images."""
    users = pathlib.Path(os.environ.get('XDG_CACHE_HOME') or '~/.cache').expanduser()
    folder = tmp_path_factory.mktemp('cache')
    (folder / 'multibox').mkdir()
    for path in (*users.glob('*'), *users.glob('multibox/drawn-*')):
        link = folder / path.relative_to(users)
        if not link.exists():
            link.symlink_to(path)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv('XDG_CACHE_HOME', str(folder))
        yield folder


@pytest.fixture
def use():
    """Function that enters ``engines.using``. The context ends with the test or the next call."""
    with contextlib.ExitStack() as stack:
        def enter(*args):
            stack.close()
            stack.enter_context(engines.using(*args))
        yield enter


def skip_without_gpu():
    """Skip the test unless CuPy and its libraries are installed and CuPy finds a GPU."""
    cupy = pytest.importorskip('cupy')
    try:
        n_gpu = cupy.cuda.runtime.getDeviceCount()
    except cupy.cuda.runtime.CUDARuntimeError:
        n_gpu = 0
    if not n_gpu or not chainer.backends.cuda.available:
        pytest.skip('CuPy is installed but finds no GPU')


@pytest.fixture(params=['numpy', pytest.param('cupy', marks=pytest.mark.gpu)])
def xp(request):
    """The array module: NumPy, and CuPy where there is a GPU."""
    if request.param == 'cupy':
        skip_without_gpu()
    return importlib.import_module(request.param)


@pytest.fixture(params=[0, 1, 2, pytest.param('cupy', marks=pytest.mark.gpu)], ids=str)
def kernel_xp(request, monkeypatch):
    """The array module for tests of CUDA kernels: NumPy, and CuPy where there is a GPU.

    With NumPy the kernels run on the CPU, with blocks and threads in one of three random orders.
    """
    if request.param == 'cupy':
        skip_without_gpu()
        return importlib.import_module('cupy')
    if cuda_on_cpu.COMPILER is None:
        pytest.skip('no g++')
    monkeypatch.setattr(kernels, 'launch',
                        functools.partial(cuda_on_cpu.launch, seed=request.param))
    monkeypatch.setattr(kernels, 'address', lambda array: array.ctypes.data)
    monkeypatch.setattr(kernels, 'is_on_gpu', lambda array: isinstance(array, np.ndarray))
    for node in MaxPooling, MaxPoolingGradient:
        monkeypatch.setattr(node, 'forward_cpu', node.forward_gpu)
    return np


@pytest.fixture(scope='session')
def gpu():
    """The first GPU as a ``chainer.backend.Device``. It is the current device."""
    skip_without_gpu()
    device = chainer.get_device('@cupy:0')
    device.use()
    return device


@pytest.fixture(scope='session')
def data(tmp_path_factory):
    """A folder of drawn images: six for training and two for testing."""
    folder = tmp_path_factory.mktemp('drawn') / 'set'
    draw_set(folder, n_train=6, n_test=2)
    return folder


@pytest.fixture
def detections(golden):
    """Stored detections on 40 test images of the built-in set.

    The six lists are those that ``multibox.evaluation.detect`` returns. The network is that of
    experiments/formulations/runs/chainercv-seed0.json. Scores start at 0.05. Boxes are rounded to
    a quarter of a pixel. A tenth of the objects is difficult.
    """
    stored = golden('detections')
    columns = [(name, dtype, count) for count, pairs in (
        ('n', (('bbox', 'f'), ('label', 'i'), ('score', 'f'))),
        ('true_n', (('true_bbox', 'f'), ('true_label', 'i'), ('difficult', bool))))
        for name, dtype in pairs]
    stored['bbox'] = stored['bbox'] / 4
    return [np.split(stored[name].astype(dtype), stored[count].cumsum()[:-1])
            for name, dtype, count in columns]


@pytest.fixture
def golden():
    """Function that reads the arrays of a golden file. It takes the name without the suffix."""
    def read(name):
        with np.load(GOLDEN / f'{name}.npz', allow_pickle=False) as arrays:
            return dict(arrays)
    return read
