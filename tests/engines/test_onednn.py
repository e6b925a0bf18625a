"""The engine oneDNN: where it can be used, its bfloat16, and its results' order in memory."""
import importlib.metadata
import os
import signal
import time

from multibox import engines
from multibox.engines.convolution import dnnl, onednn
from multibox.errors import UserError

import chainer
import chainer.functions as F
import numpy as np
import pytest

X, W = (np.random.default_rng(0).standard_normal(shape).astype('f')
        for shape in ((2, 3, 9, 7), (4, 3, 3, 3)))
missing = engines.ENGINES['onednn'][0].missing()
needs_onednn = pytest.mark.skipif(missing is not None, reason=str(missing))


@pytest.fixture
def not_installed(monkeypatch):
    def no_such_package(name):
        raise importlib.metadata.PackageNotFoundError(name)
    monkeypatch.setattr(importlib.metadata, 'files', no_such_package)
    monkeypatch.setattr(dnnl, 'library', dnnl.library.__wrapped__)


def test_without_the_package_the_fastest_is_blas(not_installed):
    assert engines.fastest() == 'blas'


def test_without_the_package_it_is_refused_by_its_name(use, not_installed):
    with pytest.raises(UserError, match=r'engine onednn: .*onednn-cpu-gomp is not installed.*blas'):
        use('onednn')


@needs_onednn
def test_with_the_package_it_is_the_fastest():
    assert engines.fastest() == 'onednn'


@needs_onednn
def test_bfloat16_is_refused_where_the_processor_would_emulate_it(use, monkeypatch):
    monkeypatch.setattr(onednn, 'BFLOAT16_FLAGS', ('no_such_flag', 'nor_this'))
    with pytest.raises(UserError, match=r'engine onednn-bf16: .*no_such_flag and nor_this'):
        use('onednn-bf16')


@needs_onednn
def test_products_of_bfloat16_are_rounded(use):
    use('onednn')
    exact = F.convolution_2d(X, W).array
    if engines.ENGINES['onednn-bf16'][0].missing():
        pytest.skip('this processor has no bfloat16')
    use('onednn-bf16')
    rounded = F.convolution_2d(X, W).array
    # Factors that bfloat16 holds exactly give the exact product again.
    as_bfloat16 = [(a.view(np.uint32) & 0xffff0000).view('f') for a in (X, W)]
    assert abs(rounded - exact).max() > 1e-4
    np.testing.assert_allclose(F.convolution_2d(*as_bfloat16).array,
                               exact_product(*as_bfloat16), rtol=1e-5, atol=1e-5)


def exact_product(x, W):
    with engines.using('chainer'):
        return F.convolution_2d(x.astype(float), W.astype(float)).array


@needs_onednn
def test_channels_stay_innermost_from_layer_to_layer(use):
    use('onednn')
    x = chainer.Variable(X)
    h = F.max_pooling_2d(F.relu(F.convolution_2d(x, W, pad=1)), 2)
    for array in (h.array, chainer.grad([F.sum(h * h)], [x])[0].array):
        assert array.transpose(0, 2, 3, 1).flags.c_contiguous


@needs_onednn
@pytest.mark.skipif(not hasattr(os, 'fork'), reason='no fork on this system')
@pytest.mark.filterwarnings('ignore:.*use of fork:DeprecationWarning')
def test_a_forked_child_computes_without_it(use):
    use('onednn')
    expected = F.convolution_2d(X, W).array
    child = os.fork()
    if child == 0:  # oneDNN would wait for ever for threads that only the parent has
        is_close = np.allclose(F.convolution_2d(X, W).array, expected, atol=1e-5)
        refused = 'forked' in (engines.ENGINES['onednn'][0].missing() or '')
        os._exit(0 if is_close and refused else 1)
    deadline = time.monotonic() + 30
    ended, status = 0, None
    while not ended and time.monotonic() < deadline:
        ended, status = os.waitpid(child, os.WNOHANG)
        time.sleep(.01)
    if not ended:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    assert ended and status == 0


@needs_onednn
def test_a_shape_is_prepared_once(use):
    use('onednn')
    prepared = onednn._forward.cache_info().misses
    for x in (X, X + 1):
        F.convolution_2d(x, W, pad=(5, 3))  # no other test has this padding
    assert onednn._forward.cache_info().misses == prepared + 1
