"""A convolution and its ReLU as one function, against Chainer's two."""
from multibox import convolution
from multibox.convolution import graphs
from multibox.convolution.relu import ConvolutionReLU, convolution_relu

import chainer
import chainer.functions as F
import chainer.links as L
import fake_cudnn
import numpy as np
import pytest
from chainer import gradient_check
from chainer.backends import cuda
from test_convolution import draw, outputs
from test_cudnn import TOLERANCE

SHAPES = (2, 3, 9, 7), (4, 3, 3, 3), 4


def fused(*arrays):
    return ConvolutionReLU(pad=1).apply(arrays)[0]


def one_after_the_other(*arrays):
    return F.relu(F.convolution_2d(*arrays, pad=1))


@pytest.fixture(params=['onednn', 'blas', 'chainer', 'cudnn'])
def engine(request, monkeypatch):
    """An engine that is installed; in place of cuDNN what computes as its graphs declare."""
    if request.param == 'cudnn':
        fake_cudnn.pretend(monkeypatch)
    missing = [engine.missing() for engine in convolution.ENGINES[request.param]]
    if any(missing):
        pytest.skip(str(missing))
    convolution.install(request.param)
    return request.param


@pytest.mark.parametrize('shapes', [SHAPES, SHAPES[:2]], ids=['bias', 'no bias'])
def test_results_and_gradients_are_those_of_the_two(engine, shapes):
    arrays = draw(*shapes)
    for ours, theirs in zip(outputs(fused, arrays), outputs(one_after_the_other, arrays),
                            strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_types_no_engine_covers_are_chainers(engine):
    arrays = [array.astype(np.float16) for array in draw(*SHAPES)]
    y = fused(*arrays).array
    assert y.dtype == np.float16
    np.testing.assert_allclose(y, one_after_the_other(*arrays).array, atol=1e-2)


def test_derivatives_are_numeric():
    x, W, b, gy, ggx, ggW, ggb = draw(*SHAPES, (2, 4, 9, 7), *SHAPES, dtype='float64')
    convolution.install('blas')
    gradient_check.check_backward(fused, (x, W, b), gy, atol=1e-4, rtol=1e-4)
    gradient_check.check_double_backward(fused, (x, W, b), gy, (ggx, ggW, ggb),
                                         atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize('make', [L.Convolution2D, L.DilatedConvolution2D])
def test_links_are_taken_with_their_options_before_their_first_input_too(make):
    link = make(None, 4, 3, stride=2, pad=1, initial_bias=.1)
    if make is L.DilatedConvolution2D:
        link.dilate = 2, 2
    x, = draw((2, 3, 9, 7))
    np.testing.assert_array_equal(convolution_relu(link, x).array, F.relu(link(x)).array)


def test_cudnn_computes_bias_and_relu_in_the_convolutions_graph(monkeypatch):
    fake_cudnn.pretend(monkeypatch)
    monkeypatch.setattr(fake_cudnn, 'graphs', [])
    convolution.install('cudnn')
    arrays = draw(*SHAPES)
    both = F.relu(F.convolution_2d(*arrays, pad=1)), fused(*arrays)
    assert [graph.fused for graph in fake_cudnn.graphs] == [['bias'], ['bias', 'relu']]
    assert all(y.array.transpose(0, 2, 3, 1).flags.c_contiguous for y in both)


@pytest.mark.gpu
@pytest.mark.parametrize('precision', TOLERANCE)
def test_on_a_gpu_results_and_gradients_are_chainers(precision):
    missing = graphs.missing()
    if missing:
        pytest.skip(missing)
    arrays = draw((2, 16, 19, 18), (32, 16, 3, 3), 32)
    gy, = draw((2, 32, 19, 18))
    convolution.install('cudnn', precision)
    dtype = np.float16 if precision == 'float16' else np.float32
    variables = [chainer.Variable(cuda.to_gpu(array.astype(dtype))) for array in arrays]
    y = fused(*variables)
    grads = chainer.grad([y], variables, [chainer.Variable(cuda.to_gpu(gy.astype(dtype)))])
    results = [cuda.to_cpu(variable.array) for variable in (y, *grads)]
    exact = [chainer.Variable(array.astype(float)) for array in arrays]
    before = F.convolution_2d(*exact, pad=1)
    passed = gy * (results[0] > 0)  # near 0 rounding decides
    expected = [np.maximum(before.array, 0), *(grad.array for grad in chainer.grad(
        [before], exact, [chainer.Variable(passed.astype(float))]))]
    for ours, right in zip(results, expected, strict=True):
        assert ours.dtype == dtype
        assert abs(ours - right).max() <= TOLERANCE[precision] * abs(right).max()
