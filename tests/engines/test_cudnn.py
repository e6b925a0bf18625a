"""The engine cuDNN: types, plans, memory order, and messages where it is missing.

Most tests use a stand-in for the package on NumPy arrays. Tests on a GPU use the package itself.
"""
import sys

from multibox import engines
from multibox.engines import kernels
from multibox.engines.choice import OneDNN
from multibox.engines.convolution import graphs
from multibox.errors import UserError
from tests.support import fake_cudnn
from tests.support.convolutions import CONVOLUTIONS, draw, outputs
from tests.support.convolutions import CUDNN_TOLERANCE as TOLERANCE

import chainer
import chainer.functions as F
import numpy as np
import pytest
from chainer.backends import cuda

X, W, B = draw((2, 3, 9, 7), (4, 3, 3, 3), 4)
NEEDS_BFLOAT16 = pytest.mark.skipif(bool(engines.bfloat16.missing()), reason='no ml_dtypes')
PRECISIONS = [*engines.PRECISIONS[:-1], pytest.param('bfloat16', marks=NEEDS_BFLOAT16)]


@pytest.fixture
def cudnn(monkeypatch):
    fake_cudnn.pretend(monkeypatch)
    monkeypatch.setattr(fake_cudnn, 'graphs', [])
    return fake_cudnn


def as_bfloat16(array):
    return fake_cudnn.widen_bfloat16(fake_cudnn.round_to_bfloat16(array))


@NEEDS_BFLOAT16
def test_bfloat16_is_float32_with_rounded_factors_and_results(use, cudnn):
    rounded = [as_bfloat16(array) for array in (X, W, B)]
    exact = F.convolution_2d(*(array.astype(float) for array in rounded)).array
    use('cudnn', 'bfloat16')
    y = F.convolution_2d(X, W, B).array
    assert y.dtype == np.float32
    np.testing.assert_array_equal(y, as_bfloat16(exact))


@NEEDS_BFLOAT16
def test_arrays_of_bfloat16_are_neither_rounded_nor_widened(use, cudnn):
    bfloat16 = engines.bfloat16.dtype()
    arrays = [array.astype(bfloat16) for array in (X, W, B)]
    exact = F.convolution_2d(*(array.astype(float) for array in arrays)).array
    use('cudnn')
    results = outputs(F.convolution_2d, arrays)
    assert [result.dtype for result in results] == [bfloat16] * 4
    np.testing.assert_array_equal(results[0], exact.astype('f').astype(bfloat16))
    assert {graph.result.dtype for graph in cudnn.graphs} == {cudnn.data_type.BFLOAT16}


@pytest.mark.parametrize('precision', PRECISIONS)
def test_float16_arrays_are_summed_in_float32_whatever_the_precision(use, cudnn, precision):
    arrays = [array.astype(np.float16) for array in (X, W, B)]
    exact = F.convolution_2d(*(array.astype(float) for array in arrays)).array
    use('cudnn', precision)
    y = F.convolution_2d(*arrays).array
    np.testing.assert_array_equal(y, exact.astype(np.float32).astype(np.float16))


def test_float32_weights_of_float16_images_get_a_float32_gradient(use, cudnn):
    use('cudnn')
    halves = X.astype(np.float16), W.astype(np.float16)
    results = outputs(F.convolution_2d, (halves[0], W))
    assert [result.dtype for result in results] == [np.float16, np.float16, np.float32]
    for result, rounded in zip(results, outputs(F.convolution_2d, halves), strict=True):
        np.testing.assert_array_equal(result, rounded)


@pytest.mark.parametrize('precision, dtype, expected', [
    ('float32', 'float32', False), ('tf32', 'float32', True), ('float16', 'float32', False),
    pytest.param('bfloat16', 'float32', True, marks=NEEDS_BFLOAT16), ('float32', 'float16', True)])
def test_tensor_cores_are_kept_from_float32_only(use, cudnn, precision, dtype, expected):
    use('cudnn', precision)
    outputs(F.convolution_2d, (X.astype(dtype), W.astype(dtype)))
    assert len(cudnn.graphs) == 3  # the output, and the gradients of images and weights
    for graph in cudnn.graphs:
        assert set(graphs.UNWANTED) <= graph.deselected
        assert ('TENSOR_CORE' not in graph.deselected) == expected


def test_a_graph_is_planned_once_for_a_shape_and_a_precision(use, cudnn):
    for precision, images, planned in (('float32', X, 3), ('float32', X + 1, 3), ('tf32', X, 6),
                                       ('float32', X[:1], 9), ('float32', X, 9)):
        use('cudnn', precision)
        outputs(F.convolution_2d, (images, W))
        assert len(cudnn.graphs) == planned
    assert cudnn.graphs[0].runs == 3


def test_channels_stay_innermost_and_weights_keep_their_order(use, cudnn):
    use('cudnn')
    y, gx, gW = outputs(F.convolution_2d, (X, W))
    for array in (y, gx):
        assert array.transpose(0, 2, 3, 1).flags.c_contiguous
    assert gW.flags.c_contiguous


def test_images_with_their_channels_innermost_are_not_copied(use, cudnn, monkeypatch):
    read = []
    monkeypatch.setattr(kernels, 'address', lambda array: read.append(array) or array.ctypes.data)
    use('cudnn')
    x = np.ascontiguousarray(X.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
    F.convolution_2d(x, W)
    assert any(np.shares_memory(array, x) for array in read)


def test_images_and_weights_are_reordered_once_for_a_convolution_and_its_gradients(use, cudnn):
    use('cudnn')
    variables = [chainer.Variable(array) for array in (X, W)]
    y = engines.convolution_2d(*variables)
    x_last, W_last = y.creator.ordered
    read = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kernels, 'address', lambda array: read.append(array) or array.ctypes.data)
        y.grad = np.ones_like(y.array)
        y.backward()
    for ordered in x_last, W_last:
        assert any(np.shares_memory(array, ordered) for array in read)


def test_images_at_an_odd_address_are_copied(use, cudnn):
    memory = np.zeros(X.size + 5, np.float32)
    start = next(i for i in range(4) if memory[i:].ctypes.data % 16 == 4)
    x = memory[start:][:X.size].reshape(2, 9, 7, 3).transpose(0, 3, 1, 2)
    x[...] = X
    expected = F.convolution_2d(x, W).array
    use('cudnn')  # the stand-in asserts alignment
    np.testing.assert_allclose(F.convolution_2d(x, W).array, expected, rtol=1e-4, atol=1e-5)


def test_without_a_gpu_it_is_refused(use, monkeypatch):
    monkeypatch.setattr(cuda, 'available', False)
    with pytest.raises(UserError, match=r'engine cudnn: CuPy finds no GPU here; use engine chain'):
        use('cudnn')


def test_without_the_package_a_gpu_gets_chainers_own_and_one_warning(monkeypatch):
    monkeypatch.setattr(cuda, 'available', True)
    monkeypatch.setitem(sys.modules, 'cudnn', None)  # the package cannot be imported
    with pytest.warns(UserWarning, match=r'nvidia-cudnn-frontend.*requirements-cuda13.txt') as said:
        assert engines.fastest(gpu=True) == 'chainer'
    assert len(said) == 1


def test_an_old_cudnn_is_refused(use, cudnn, monkeypatch):
    monkeypatch.setattr(cudnn, 'backend_version', lambda: 8907)
    with pytest.raises(UserError, match='cuDNN is 8907 and must be 90000 or newer'):
        use('cudnn')


def test_a_cpu_without_onednn_is_not_warned(monkeypatch, recwarn):
    monkeypatch.setattr(OneDNN, 'missing', lambda engine: 'not here')
    assert engines.fastest() == 'blas'
    assert not recwarn.list


def test_with_the_package_it_is_a_gpus_fastest_but_no_cpus(cudnn):
    assert engines.fastest(gpu=True) == 'cudnn'
    assert engines.fastest() != 'cudnn'


@pytest.mark.parametrize('name', ['blas', 'chainer'])
@pytest.mark.parametrize('precision', ['tf32', 'bfloat16'])
def test_a_precision_that_only_cudnn_has_is_refused_elsewhere(use, name, precision):
    with pytest.raises(UserError, match=f'precision {precision}: engine {name}.*engine cudnn'):
        use(name, precision)


def test_a_precision_of_no_such_name_is_refused_with_the_names(use):
    with pytest.raises(UserError, match=r'precision int8: .*float32, tf32, float16, bfloat16'):
        use('blas', 'int8')


@pytest.mark.gpu
@pytest.mark.parametrize('precision', TOLERANCE)
@pytest.mark.parametrize('case', CONVOLUTIONS.values(), ids=CONVOLUTIONS)
def test_on_a_gpu_convolution_and_its_gradients_are_chainers(use, case, precision):
    missing = graphs.missing()
    if missing:
        pytest.skip(missing)
    x_shape, (o, kh, kw), stride, pad, dilate = case
    arrays = draw(x_shape, (o, x_shape[1], kh, kw), o)
    options = {'stride': stride, 'pad': pad, 'dilate': dilate}
    exact = outputs(F.convolution_2d, [array.astype(float) for array in arrays], **options)
    use('cudnn', precision)
    dtype = engines.bfloat16.array_dtype(precision)
    on_gpu = [cuda.to_gpu(array.astype(dtype)) for array in arrays]
    for ours, chainers in zip(outputs_on_gpu(on_gpu, **options), exact, strict=True):
        assert ours.dtype == dtype
        error = abs(cuda.to_cpu(ours).astype(float) - chainers).max()
        assert error <= TOLERANCE[precision] * abs(chainers).max()


def outputs_on_gpu(arrays, **options):
    variables = [chainer.Variable(array) for array in arrays]
    y = F.convolution_2d(*variables, **options)
    gy = cuda.to_gpu(draw(y.shape, dtype=y.dtype)[0])
    return [y.array, *(g.array for g in chainer.grad([y], variables, [chainer.Variable(gy)]))]
