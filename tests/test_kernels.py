"""The kernels against definitions written out."""
from multibox.kernels import n_largest, softmax_cross_entropy

import chainer
import chainer.functions as F
import chainer.gradient_check
import numpy as np
import pytest
from chainer.backends import cuda
from hypothesis import given, settings
from hypothesis import strategies as st


@settings(deadline=None, max_examples=200)
@given(st.integers(1, 3), st.integers(1, 12), st.integers(0, 2 ** 31))
def test_n_largest_takes_the_largest_and_of_equals_the_first(B, K, seed):
    rng = np.random.RandomState(seed)
    values = rng.choice([-np.inf, 0., 1., 2.], (B, K))
    n = rng.choice([0, .5, 1, 2.5, K, K + 1], B)
    expected = np.zeros((B, K), bool)
    for b in range(B):
        by_value_then_index = sorted(range(K), key=lambda j: (-values[b, j], j))
        for rank, j in enumerate(by_value_then_index):
            expected[b, j] = rank < n[b] and values[b, j] > -np.inf
    np.testing.assert_array_equal(n_largest(values, n), expected)


def test_n_largest_is_the_same_on_every_device(xp):
    values = np.random.RandomState(0).randint(0, 50, (4, 1000)).astype('f')
    n = np.array([0, 10, 333, 1000])
    kept = cuda.to_cpu(n_largest(xp.asarray(values), xp.asarray(n)))
    np.testing.assert_array_equal(kept, n_largest(values, n))
    assert kept.sum(axis=1).tolist() == n.tolist()


def test_cross_entropy_equals_chainers(xp):
    rng = np.random.RandomState(0)
    logits, labels = rng.normal(size=(3, 7, 5)).astype('f'), rng.randint(-1, 5, (3, 7))
    expected = F.softmax_cross_entropy(logits.reshape(-1, 5), labels.reshape(-1), reduce='no')
    loss = softmax_cross_entropy(xp.asarray(logits), xp.asarray(labels))
    np.testing.assert_allclose(
        cuda.to_cpu(loss.array).reshape(-1), expected.array, rtol=1e-5, atol=1e-6)


def test_cross_entropy_is_exact_for_large_logits(xp):
    logits = xp.asarray([[1e4, 0, -1e4]] * 3, 'f')
    loss = softmax_cross_entropy(logits, xp.arange(3))
    assert loss.array.tolist() == [0, 1e4, 2e4]


def test_cross_entropy_gradient_equals_the_numerical_one():
    rng = np.random.RandomState(1)
    logits, labels = rng.normal(size=(4, 3)).astype('f'), rng.randint(-1, 3, 4)
    chainer.gradient_check.check_backward(
        lambda x: softmax_cross_entropy(x, labels), logits, rng.normal(size=4).astype('f'),
        dtype=np.float64, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize('bad', [np.nan, np.inf, -np.inf])
def test_a_box_without_weight_passes_back_zero(xp, bad):
    logits = chainer.Variable(xp.asarray([[bad, 0.], [bad, bad], [1., 2.]], 'f'))
    loss = softmax_cross_entropy(logits, xp.zeros(3, 'i'))
    loss.grad = xp.asarray([0, 0, 1], 'f')
    loss.backward()
    np.testing.assert_array_equal(cuda.to_cpu(logits.grad[:2]), 0)
    assert cuda.to_cpu(logits.grad[2]).all()
