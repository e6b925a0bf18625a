"""Fixtures shared by all tests."""
import pathlib

import multibox  # noqa: F401  before anything imports Chainer

import chainer
import numpy as np
import pytest

GOLDEN = pathlib.Path(__file__).parent / 'golden'


@pytest.fixture(params=['numpy', pytest.param('cupy', marks=pytest.mark.gpu)])
def xp(request):
    """The array module: NumPy, and CuPy where there is a GPU."""
    module = pytest.importorskip(request.param)
    if request.param == 'cupy' and not chainer.backends.cuda.available:
        pytest.skip('CuPy is installed but finds no GPU')
    return module


@pytest.fixture
def golden():
    """Read the arrays of a golden file by its name without the suffix."""
    def read(name):
        with np.load(GOLDEN / f'{name}.npz', allow_pickle=False) as arrays:
            return dict(arrays)
    return read
