"""Fixtures shared by all tests."""
import importlib
import pathlib

import multibox  # noqa: F401  before anything imports Chainer

import chainer
import numpy as np
import pytest

GOLDEN = pathlib.Path(__file__).parent / 'golden'


def skip_without_gpu():
    """Skip the test unless CuPy is there with all it loads, and finds a GPU."""
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


@pytest.fixture(scope='session')
def gpu():
    """The first GPU, a ``chainer.backend.Device``, made the current one."""
    skip_without_gpu()
    device = chainer.get_device('@cupy:0')
    device.use()
    return device


@pytest.fixture
def detections(golden):
    """Six lists as of ``multibox.training.detect``: 40 test images of the built-in set, seen by the
    network of experiments/formulations/runs/chainercv-seed0.json. Scores from 0.05, boxes rounded
    to a quarter of a pixel, a tenth of the objects marked difficult."""
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
    """Read the arrays of a golden file by its name without the suffix."""
    def read(name):
        with np.load(GOLDEN / f'{name}.npz', allow_pickle=False) as arrays:
            return dict(arrays)
    return read
