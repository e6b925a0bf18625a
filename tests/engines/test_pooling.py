"""Max pooling without im2col, against Chainer's."""
from multibox import engines

import chainer
import chainer.functions as F
import numpy as np
import pytest
from chainer import gradient_check
from hypothesis import given, settings
from hypothesis import strategies as st


def pooled(x, gy, **options):
    """y and the gradient of sum(y * gy) with respect to x."""
    x = chainer.Variable(x)
    y = F.max_pooling_2d(x, **options)
    gx, = chainer.grad([y], [x], [chainer.Variable(gy)])
    return y.array, gx.array


def assert_as_chainers(x, **options):
    y = F.max_pooling_2d(x, **options).array
    gy = np.random.default_rng(1).standard_normal(y.shape).astype(y.dtype)
    expected = pooled(x, gy, **options)
    with engines.using('blas'):
        actual = pooled(x, gy, **options)
    np.testing.assert_array_equal(actual[0], expected[0])
    np.testing.assert_allclose(actual[1], expected[1], rtol=1e-5, atol=1e-6)
    assert [a.dtype for a in actual] == [a.dtype for a in expected]


@settings(max_examples=150, deadline=None)
@given(size=st.tuples(st.integers(3, 12), st.integers(3, 12)),
       ksize=st.tuples(st.integers(1, 3), st.integers(1, 3)),
       stride=st.tuples(st.integers(1, 3), st.integers(1, 3)),
       pad=st.sampled_from([0, 1]), cover_all=st.booleans(), levels=st.integers(1, 50),
       seed=st.integers(0, 99))
def test_maxima_and_gradients_are_chainers(size, ksize, stride, pad, cover_all, levels, seed):
    pad = min(pad, min(ksize) - 1)
    # With few levels maxima tie. The first of them gets the gradient.
    x = np.random.default_rng(seed).integers(-levels, levels, (2, 3, *size)).astype('f')
    assert_as_chainers(x, ksize=ksize, stride=stride, pad=pad, cover_all=cover_all)


@pytest.mark.parametrize('dtype', ['float16', 'float32', 'float64'])
def test_dtypes_stay(dtype):
    x = np.random.default_rng(0).standard_normal((2, 3, 7, 6)).astype(dtype)
    assert_as_chainers(x, ksize=2)


def test_channels_innermost_in_memory_stay_there(use):
    x = np.random.default_rng(0).standard_normal((2, 8, 6, 3)).astype('f').transpose(0, 3, 1, 2)
    assert_as_chainers(x, ksize=2)
    use('blas')
    assert F.max_pooling_2d(x, 2).array.transpose(0, 2, 3, 1).flags.c_contiguous


def test_a_window_larger_than_the_map_is_refused_as_by_chainer(use):
    use('blas')
    with pytest.raises(AssertionError, match='positive'):
        F.max_pooling_2d(np.zeros((1, 1, 2, 2), 'f'), 3, stride=1, cover_all=False)


def test_nan_comes_through(use):
    use('blas')
    x = np.zeros((1, 1, 4, 4), 'f')
    x[0, 0, 1, 1] = np.nan
    np.testing.assert_array_equal(F.max_pooling_2d(x, 2).array[0, 0], [[np.nan, 0], [0, 0]])


def test_double_backward_is_the_numeric_gradient(use):
    use('blas')
    rng = np.random.default_rng(0)
    x = rng.permutation(2 * 3 * 36).reshape(2, 3, 6, 6).astype(float)  # no ties
    gy, ggx = rng.standard_normal((2, 3, 3, 3)), rng.standard_normal(x.shape)
    gradient_check.check_double_backward(
        lambda x: F.max_pooling_2d(x, 2) ** 2, x, gy, ggx, atol=1e-3, rtol=1e-3)


def test_requested_indices_are_chainers(use):
    x = np.random.default_rng(0).standard_normal((2, 3, 7, 6)).astype('f')
    _, expected = F.max_pooling_2d(x, 2, return_indices=True)
    use('blas')
    _, actual = F.max_pooling_2d(x, 2, return_indices=True)
    np.testing.assert_array_equal(actual, expected)
    assert actual.dtype == expected.dtype
