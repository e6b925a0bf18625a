"""A convolution and its ReLU as one function, against Chainer's two functions."""
from multibox import engines
from multibox.engines import kernels
from multibox.engines.convolution import graphs
from multibox.engines.convolution.function import ConvolutionReLU
from multibox.networks.layers import Convolution2D
from tests.support import fake_cudnn
from tests.support.convolutions import CUDNN_TOLERANCE as TOLERANCE
from tests.support.convolutions import draw, outputs

import chainer
import chainer.functions as F
import numpy as np
import pytest
from chainer import gradient_check
from chainer.backends import cuda

SHAPES = (2, 3, 9, 7), (4, 3, 3, 3), 4


def fused(*arrays):
    return ConvolutionReLU(pad=1).apply(arrays)[0]


def separate(*arrays):
    return F.relu(F.convolution_2d(*arrays, pad=1))


@pytest.fixture(params=['onednn', 'blas', 'chainer', 'cudnn'])
def engine(request, monkeypatch, use):
    """The name of the engine in use. A stand-in takes the place of cuDNN."""
    if request.param == 'cudnn':
        fake_cudnn.pretend(monkeypatch)
    missing = [engine.missing() for engine in engines.ENGINES[request.param]]
    if any(missing):
        pytest.skip(str(missing))
    use(request.param)
    return request.param


@pytest.mark.parametrize('shapes', [SHAPES, SHAPES[:2]], ids=['bias', 'no bias'])
def test_results_and_gradients_are_those_of_two_functions(engine, shapes):
    arrays = draw(*shapes)
    for ours, theirs in zip(outputs(fused, arrays), outputs(separate, arrays),
                            strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_types_no_engine_covers_are_chainers(engine):
    arrays = [array.astype(np.float16) for array in draw(*SHAPES)]
    y = fused(*arrays).array
    assert y.dtype == np.float16
    np.testing.assert_allclose(y, separate(*arrays).array, atol=1e-2)


def test_derivatives_are_numeric(use):
    x, W, b, gy, ggx, ggW, ggb = draw(*SHAPES, (2, 4, 9, 7), *SHAPES, dtype='float64')
    use('blas')
    gradient_check.check_backward(fused, (x, W, b), gy, atol=1e-4, rtol=1e-4)
    gradient_check.check_double_backward(fused, (x, W, b), gy, (ggx, ggW, ggb),
                                         atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize('dilate', [1, 2])
def test_a_link_passes_its_options_on(engine, dilate):
    link = Convolution2D(3, 4, 3, stride=2, pad=1, initial_bias=.1, dilate=dilate)
    x, = draw((2, 3, 9, 7))
    np.testing.assert_array_equal(link(x, relu=True).array, F.relu(link(x)).array)


def test_cudnn_computes_bias_and_relu_in_the_convolutions_graph(use, monkeypatch):
    fake_cudnn.pretend(monkeypatch)
    monkeypatch.setattr(fake_cudnn, 'graphs', [])
    use('cudnn')
    arrays = draw(*SHAPES)
    both = F.relu(F.convolution_2d(*arrays, pad=1)), fused(*arrays)
    assert [graph.fused for graph in fake_cudnn.graphs] == [['bias'], ['bias', 'relu']]
    assert all(y.array.transpose(0, 2, 3, 1).flags.c_contiguous for y in both)


def test_one_kernel_computes_the_gradients_of_relu_and_bias(kernel_xp, use, monkeypatch):
    if kernel_xp is not np:
        pytest.skip('the stand-in for cuDNN computes on NumPy arrays')
    launched, launch = [], kernels.launch
    monkeypatch.setattr(kernels, 'launch', lambda *args: launched.append(args[1]) or launch(*args))
    arrays = draw(*SHAPES)
    expected = outputs(separate, arrays)
    fake_cudnn.pretend(monkeypatch)
    use('cudnn')
    for ours, theirs in zip(outputs(fused, arrays), expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-4)
    assert launched == ['rectify<float, 4, true, true, true>', 'add_rows<float>']


@pytest.mark.gpu
@pytest.mark.parametrize('precision', TOLERANCE)
def test_on_a_gpu_results_and_gradients_are_chainers(use, precision):
    missing = graphs.missing()
    if missing:
        pytest.skip(missing)
    arrays = draw((2, 16, 19, 18), (32, 16, 3, 3), 32)
    gy, = draw((2, 32, 19, 18))
    use('cudnn', precision)
    dtype = np.float16 if precision == 'float16' else np.float32
    variables = [chainer.Variable(cuda.to_gpu(array.astype(dtype))) for array in arrays]
    y = fused(*variables)
    grads = chainer.grad([y], variables, [chainer.Variable(cuda.to_gpu(gy.astype(dtype)))])
    results = [cuda.to_cpu(variable.array) for variable in (y, *grads)]
    exact = [chainer.Variable(array.astype(float)) for array in arrays]
    before = F.convolution_2d(*exact, pad=1)
    passed = gy * (results[0] > 0)  # near 0, rounding decides about the ReLU
    expected = [np.maximum(before.array, 0), *(grad.array for grad in chainer.grad(
        [before], exact, [chainer.Variable(passed.astype(float))]))]
    for ours, right in zip(results, expected, strict=True):
        assert ours.dtype == dtype
        assert abs(ours - right).max() <= TOLERANCE[precision] * abs(right).max()


@pytest.mark.parametrize('shapes', [SHAPES, SHAPES[:2]], ids=['bias', 'no bias'])
def test_results_and_gradients_under_a_ceiling_are_those_of_two_functions(engine, shapes):
    def with_ceiling(*arrays):
        return engines.convolution_2d(*arrays, pad=1, relu=True, ceiling=1.5)

    def by_chainer(*arrays):
        return F.clipped_relu(F.convolution_2d(*arrays, pad=1), 1.5)
    arrays = draw(*shapes)
    assert (outputs(with_ceiling, arrays)[0] == 1.5).any()
    for ours, theirs in zip(outputs(with_ceiling, arrays), outputs(by_chainer, arrays),
                            strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-6, atol=1e-6)


def test_derivatives_under_a_ceiling_are_numeric(use):
    def with_ceiling(*arrays):
        return engines.convolution_2d(*arrays, pad=1, relu=True, ceiling=1.5)
    x, W, b, gy, ggx, ggW, ggb = draw(*SHAPES, (2, 4, 9, 7), *SHAPES, dtype='float64')
    use('blas')
    gradient_check.check_backward(with_ceiling, (x, W, b), gy, atol=1e-4, rtol=1e-4)
    gradient_check.check_double_backward(with_ceiling, (x, W, b), gy, (ggx, ggW, ggb),
                                         atol=1e-4, rtol=1e-4)
