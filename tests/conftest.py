"""Fixtures shared by all tests."""
import pathlib

from multibox import convolution

import chainer
import hypothesis
import numpy as np
import pytest

# A busy machine is no failure: an example stopped for a second is not slow.
hypothesis.settings.register_profile('busy machines', deadline=None)
hypothesis.settings.load_profile('busy machines')
GOLDEN = pathlib.Path(__file__).parent / 'golden'


@pytest.fixture(autouse=True)
def chainers_convolution():
    """Programs leave their engine installed, and it rounds otherwise: not in the next test too."""
    yield
    convolution.uninstall()


@pytest.fixture(params=['numpy', pytest.param('cupy', marks=pytest.mark.gpu)])
def xp(request):
    """The array module: NumPy, and CuPy where there is a GPU."""
    module = pytest.importorskip(request.param)
    if request.param == 'cupy' and not chainer.backends.cuda.available:
        pytest.skip('CuPy is installed but finds no GPU')
    return module


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
