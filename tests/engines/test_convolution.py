"""The engines behind Chainer's functions against Chainer's own convolution."""
import concurrent.futures
import ctypes
import platform
import subprocess
import sys

from multibox import engines
from multibox.engines import chains, choice
from multibox.engines.convolution import blas
from multibox.engines.memory import keep_freed_memory
from multibox.errors import UserError
from tests.support import fake_cudnn
from tests.support.convolutions import CONVOLUTIONS, GROUPED, draw, outputs

import chainer
import chainer.functions as F
import numpy as np
import pytest
from chainer import gradient_check
from chainer.functions.connection.convolution_2d import Convolution2DFunction
from chainer.utils import conv

TOLERANCE = {'float32': 5e-6, 'float64': 1e-14}  # sums of thousands of products
# bfloat16 rounds both factors of a product to 8 bits. The sums are float32.
BFLOAT16_TOLERANCE = 2 ** -7


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    """Blocks of 256 pixels, so that small cases need several."""
    monkeypatch.setattr(blas, 'MIN_COLUMNS', 256)
    monkeypatch.setattr(blas, 'MIN_ELEMENTS', 1)


@pytest.fixture(params=['blas', 'onednn', 'onednn-bf16', 'cudnn'])
def engine(request, monkeypatch):
    """The name of an engine that this machine has. A stand-in takes the place of cuDNN."""
    if request.param == 'cudnn':
        fake_cudnn.pretend(monkeypatch)
    missing = engines.ENGINES[request.param][0].missing()
    if missing:
        pytest.skip(missing)
    return request.param


def assert_as_chainers(engine, function, arrays, **options):
    """Compare outputs() with and without the engine, relative to each array's largest value."""
    expected = outputs(function, arrays, **options)
    tolerance = TOLERANCE[arrays[0].dtype.name]
    if engine == 'onednn-bf16' and arrays[0].dtype == np.float32:
        tolerance = BFLOAT16_TOLERANCE
    with engines.using(engine):
        actual = outputs(function, arrays, **options)
    for ours, chainers in zip(actual, expected, strict=True):
        assert ours.dtype == chainers.dtype and ours.shape == chainers.shape
        assert abs(ours - chainers).max() <= tolerance * abs(chainers).max()


@pytest.fixture
def im2col_calls(monkeypatch):
    """A list with one entry per call of Chainer's im2col."""
    calls = []
    chainers = conv.im2col_cpu
    monkeypatch.setattr(conv, 'im2col_cpu', lambda *a, **k: calls.append(1) or chainers(*a, **k))
    return calls


@pytest.mark.parametrize('dtype', TOLERANCE)
@pytest.mark.parametrize('case', CONVOLUTIONS.values(), ids=CONVOLUTIONS)
def test_convolution_and_its_gradients_are_chainers(engine, case, dtype):
    x_shape, (o, kh, kw), stride, pad, dilate = case
    arrays = draw(x_shape, (o, x_shape[1], kh, kw), o, dtype=dtype)
    assert_as_chainers(engine, F.convolution_2d, arrays, stride=stride, pad=pad, dilate=dilate)


@pytest.mark.parametrize('dtype', TOLERANCE)
@pytest.mark.parametrize('case', GROUPED.values(), ids=GROUPED)
def test_convolution_of_groups_and_its_gradients_are_chainers(engine, case, dtype):
    x, W, groups, stride, pad = case
    arrays = draw(x, W, W[0], dtype=dtype)
    assert_as_chainers(
        engine, F.convolution_2d, arrays, stride=stride, pad=pad, groups=groups, cover_all=True)


def test_convolution_of_groups_is_computed_by_the_engine(use, engine, im2col_calls):
    use(engine)
    outputs(F.convolution_2d, draw((2, 4, 6, 6), (4, 1, 3, 3)), groups=4)
    assert not im2col_calls


@pytest.mark.parametrize('dtype', TOLERANCE)
@pytest.mark.parametrize('outsize', [None, (17, 11), (18, 12)], ids='outsize {}'.format)
def test_deconvolution_and_its_gradients_are_chainers(engine, outsize, dtype):
    arrays = draw((2, 4, 9, 6), (4, 3, 3, 3), 3, dtype=dtype)
    assert_as_chainers(engine, F.deconvolution_2d, arrays, stride=2, pad=1, outsize=outsize)


def test_convolution_without_bias_is_chainers(engine):
    assert_as_chainers(engine, F.convolution_2d, draw((2, 3, 9, 7), (4, 3, 3, 3)), pad=1)


@pytest.mark.parametrize('pad', [0, 1], ids='pad {}'.format)
def test_convolution_that_covers_all_inputs_is_chainers(engine, pad):
    arrays = draw((2, 3, 10, 8), (4, 3, 3, 3), 4)
    assert_as_chainers(engine, F.convolution_2d, arrays, stride=2, pad=pad, cover_all=True)


@pytest.mark.parametrize('kernel', [1, 3], ids='kernel {}'.format)
def test_arrays_in_another_memory_order_give_chainers_results(engine, kernel):
    def between_channels_last(x, W, b):
        y = F.convolution_2d(F.transpose(x, (0, 3, 1, 2)), W, b, pad=kernel // 2)
        return F.transpose(y, (0, 2, 3, 1))
    W, b = draw((4, 3, kernel, kernel), 4)
    assert_as_chainers(
        engine, between_channels_last, [*draw((1, 9, 7, 3)), np.asfortranarray(W), b])


def test_gradient_without_strides_is_chainers(engine):
    arrays = draw((2, 3, 9, 7), (4, 3, 3, 3), 4)
    assert_as_chainers(engine, lambda *variables: F.sum(F.convolution_2d(*variables)), arrays)


def test_double_backward_is_chainers(engine):
    x, W, gy = draw((2, 2, 5, 4), (3, 2, 3, 3), (2, 3, 3, 2))

    def squared_gradient(x, W):
        y = F.convolution_2d(x, W, stride=2, pad=1)
        gx, gW = chainer.grad([y * y], [x, W], [chainer.Variable(gy)], enable_double_backprop=True)
        return F.sum(gx * gx) + F.sum(gW * gW)
    assert_as_chainers(engine, squared_gradient, [x, W])


def test_double_backward_is_the_numeric_gradient(use):
    x, W, gy, ggx, ggW = draw((2, 2, 5, 4), (3, 2, 3, 3), (2, 3, 3, 2), (2, 2, 5, 4), (3, 2, 3, 3),
                              dtype='float64')
    use('blas')
    gradient_check.check_double_backward(
        lambda x, W: F.convolution_2d(x, W, stride=2, pad=1), (x, W), gy, (ggx, ggW),
        atol=1e-4, rtol=1e-4)


def test_backward_is_the_numeric_gradient(use):
    x, W, b, gy = draw((2, 2, 5, 4), (3, 2, 3, 3), 3, (2, 3, 5, 4), dtype='float64')
    use('blas')
    gradient_check.check_backward(
        lambda x, W, b: F.convolution_2d(x, W, b, pad=2, dilate=2), (x, W, b), gy,
        atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize('dtype', TOLERANCE)
def test_engine_replaces_chainers_im2col(use, engine, im2col_calls, dtype):
    arrays = draw((2, 4, 6, 6), (4, 4, 3, 3), 4, dtype=dtype)
    outputs(F.convolution_2d, arrays)
    assert len(im2col_calls) == 2  # Chainer calls im2col for y and for gW
    use(engine)
    outputs(F.convolution_2d, arrays)
    assert len(im2col_calls) == 2


@pytest.mark.parametrize('dtypes', [('float16', 'float16'), ('float32', 'float64')],
                         ids=['float16', 'mixed types'])
def test_calls_that_no_engine_covers_stay_chainers(use, engine, im2col_calls, dtypes):
    if engine == 'cudnn' and 'float16' in dtypes:
        pytest.skip('cudnn computes it')
    x, W = draw((2, 4, 6, 6), (4, 4, 3, 3))
    arrays = x.astype(dtypes[0]), W.astype(dtypes[1])
    expected = F.convolution_2d(*arrays).array
    use(engine)
    actual = F.convolution_2d(*arrays).array
    assert len(im2col_calls) == 2
    np.testing.assert_array_equal(actual, expected)


@pytest.mark.parametrize('name', ['blas', 'onednn', 'cudnn'])
def test_no_engine_takes_the_arrays_of_another_library(name):
    arrays = [array.view(type('Array', (np.ndarray,), {})) for array in draw((1, 3, 4, 4), 3)]
    assert not engines.ENGINES[name][0].covers(arrays)


def test_gradients_of_mixed_types_keep_them(use, engine):
    x, W = draw((2, 4, 6, 6), (4, 4, 3, 3))
    use(engine)
    dtypes = [array.dtype for array in outputs(F.convolution_2d, (x, W.astype(float)))]
    assert dtypes == [np.float32, np.float32, np.float64]


def test_an_engine_of_no_such_name_is_refused_with_the_names(use):
    with pytest.raises(UserError, match=r'engine mkl: .*onednn, onednn-bf16, blas, cudnn, chainer'):
        use('mkl')


def test_cudnn_fast_is_refused_as_by_chainer(use, engine):
    use(engine)
    with pytest.raises(RuntimeError, match='cudnn_fast'):
        F.convolution_2d(*draw((1, 8, 4, 4), (8, 8, 3, 3)), cudnn_fast=True)


def test_results_survive_the_next_call(use, engine):
    use(engine)
    first = outputs(F.convolution_2d, draw((2, 3, 9, 7), (4, 3, 3, 3), 4))
    kept = [array.copy() for array in first]
    outputs(F.convolution_2d, [array + 1 for array in draw((2, 3, 9, 7), (4, 3, 3, 3), 4)])
    for array, copy in zip(first, kept, strict=True):
        np.testing.assert_array_equal(array, copy)


def test_inputs_are_not_written(use, engine):
    use(engine)
    arrays = draw((1, 3, 9, 7), (4, 3, 1, 1), 4)
    for array in arrays:
        array.flags.writeable = False
    y = outputs(F.convolution_2d, arrays)[0]
    assert not any(np.shares_memory(y, array) for array in arrays)


def test_threads_do_not_disturb_each_other(use, engine):
    use(engine)
    batches = [[array + i for array in draw((2, 3, 41, 23), (4, 3, 3, 3), 4)] for i in range(8)]
    alone = [outputs(F.convolution_2d, batch) for batch in batches]
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        together = pool.map(lambda batch: outputs(F.convolution_2d, batch), batches)
        for expected, actual in zip(alone, together, strict=True):
            for one, other in zip(expected, actual, strict=True):
                np.testing.assert_array_equal(one, other)


def test_the_same_call_gives_the_same_bits(use, engine):
    use(engine)
    arrays = draw((4, 16, 38, 38), (32, 16, 3, 3), 32)
    once, again = (outputs(F.convolution_2d, arrays, pad=1) for _ in range(2))
    for one, other in zip(once, again, strict=True):
        np.testing.assert_array_equal(one, other)


def test_the_end_of_nested_contexts_restores_chainer():
    methods = list(chains._BORROWED)
    chainers = [getattr(*method) for method in methods]
    with engines.using('blas'), engines.using('blas'):
        assert not any(
            getattr(*method) is own for method, own in zip(methods, chainers, strict=True))
    assert [getattr(*method) for method in methods] == chainers


def test_contexts_that_overlap_in_time_restore_chainer():
    chainers = Convolution2DFunction.forward_cpu
    first, second = engines.using('chainer'), engines.using('blas')
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert choice.current().name == 'blas' and Convolution2DFunction.forward_cpu is not chainers
    second.__exit__(None, None, None)
    assert Convolution2DFunction.forward_cpu is chainers and not choice.contexts


def test_an_error_within_a_context_restores_chainer():
    chainers = Convolution2DFunction.forward_cpu
    with pytest.raises(ZeroDivisionError), engines.using('blas'):
        raise ZeroDivisionError
    assert Convolution2DFunction.forward_cpu is chainers


def test_the_engine_chainer_is_chainers_own_code():
    chainers = Convolution2DFunction.forward_cpu
    with engines.using('blas'), engines.using('chainer'):
        assert Convolution2DFunction.forward_cpu is chainers


@pytest.mark.skipif(platform.libc_ver()[0] != 'glibc', reason='mallopt is glibc\'s')
def test_kept_memory_costs_no_page_faults():
    count_faults = (
        'import resource, numpy as np\n'
        'from multibox.engines.memory import keep_freed_memory\n'
        'keep_freed_memory()\n'
        'for _ in range(2):\n'
        '    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt\n'
        '    for _ in range(8): np.ones((64, 1 << 16), np.float32)\n'
        'print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)\n')
    faults = int(subprocess.check_output([sys.executable, '-c', count_faults]))
    assert faults < 8  # one array alone has 4096 pages


def test_without_glibc_keeping_memory_does_nothing(monkeypatch):
    def no_such_library(name):
        raise OSError(f'{name}: cannot open shared object file')
    monkeypatch.setattr(ctypes, 'CDLL', no_such_library)
    assert keep_freed_memory() is None
