"""Cross entropy and the n largest values against their definitions."""
from multibox.kernels import n_largest, softmax_cross_entropy
from multibox.losses import blocks

import chainer
import chainer.functions as F
import chainer.gradient_check
import numpy as np
import pytest
from chainer.backends import cuda
from hypothesis import given, settings
from hypothesis import strategies as st


@pytest.fixture
def small_blocks(monkeypatch):
    """Blocks of a few rows, and spans that hold no whole number of blocks."""
    monkeypatch.setattr(blocks, 'BLOCK', 24)
    monkeypatch.setattr(blocks, 'SPAN', 7)


@settings(deadline=None, max_examples=200)
@given(st.integers(1, 3), st.integers(1, 60), st.sampled_from('fd'), st.integers(0, 2 ** 31))
def test_n_largest_takes_the_first_of_equal_values(B, K, dtype, seed):
    rng = np.random.RandomState(seed)
    values = rng.choice([-np.inf, -1, -0., 0, 1, 2], (B, K)).astype(dtype)
    n = rng.choice([-1, 0, .5, 1, 2.5, K // 2, K, K + 1], B)
    expected = np.zeros((B, K), bool)
    for b in range(B):
        by_value_then_index = sorted(range(K), key=lambda j: (-values[b, j], j))
        for rank, j in enumerate(by_value_then_index):
            expected[b, j] = rank < n[b] and values[b, j] > -np.inf
    np.testing.assert_array_equal(n_largest(values, n), expected)


def test_n_largest_has_the_rank_of_two_stable_sorts(xp):
    values = np.random.RandomState(0).randint(0, 50, (4, 1000)).astype('f')
    n = np.array([0, 10, 333, 1000])
    rank = np.argsort(np.argsort(-values, axis=1, kind='stable'), axis=1)
    kept = cuda.to_cpu(n_largest(xp.asarray(values), xp.asarray(n)))
    np.testing.assert_array_equal(kept, rank < n[:, None])


def test_cross_entropy_equals_chainers(xp):
    rng = np.random.RandomState(0)
    logits, labels = rng.normal(size=(3, 7, 5)).astype('f'), rng.randint(-1, 5, (3, 7))
    expected = F.softmax_cross_entropy(logits.reshape(-1, 5), labels.reshape(-1), reduce='no')
    loss = softmax_cross_entropy(xp.asarray(logits), xp.asarray(labels))
    np.testing.assert_allclose(
        cuda.to_cpu(loss.array).reshape(-1), expected.array, rtol=1e-5, atol=1e-6)


def test_labels_may_be_a_variable():
    logits, labels = np.eye(3, dtype='f'), np.arange(3)
    loss = softmax_cross_entropy(logits, chainer.Variable(labels))
    np.testing.assert_array_equal(loss.array, softmax_cross_entropy(logits, labels).array)


def test_cross_entropy_is_exact_for_large_logits(xp):
    logits = xp.asarray([[1e4, 0, -1e4]] * 3, 'f')
    loss = softmax_cross_entropy(logits, xp.arange(3))
    assert loss.array.tolist() == [0, 1e4, 2e4]


@pytest.mark.parametrize('dtype, rtol', [('f', 1e-6), ('d', 1e-14)], ids=['float32', 'float64'])
def test_logits_of_plus_minus_10000_lose_nothing(xp, small_blocks, dtype, rtol):
    rng = np.random.RandomState(0)
    # With one maximum for several rows, the lower rows would underflow. Every fifth row is mixed.
    logits = rng.normal(size=(50, 6)) + rng.choice([-1e4, 0, 1e4], (50, 1))
    logits[::5] = rng.choice([-1e4, 0, 1e4], (10, 6))
    logits, labels = logits.astype(dtype), rng.randint(0, 6, 50)
    exact = logits.astype(np.float64)
    probability = np.exp(exact - exact.max(axis=1, keepdims=True))
    probability /= probability.sum(axis=1, keepdims=True)
    label_logit = exact[np.arange(50), labels]
    expected = np.log(np.exp(exact - exact.max(axis=1)[:, None]).sum(axis=1)) + (
        exact.max(axis=1) - label_logit)
    x = chainer.Variable(xp.asarray(logits))
    loss = softmax_cross_entropy(x, xp.asarray(labels))
    loss.grad = xp.ones(50, dtype)
    loss.backward()
    np.testing.assert_allclose(cuda.to_cpu(loss.array), expected, rtol=rtol, atol=rtol)
    np.testing.assert_allclose(
        cuda.to_cpu(x.grad), probability - np.eye(6)[labels], rtol=rtol, atol=rtol)


def test_only_rows_with_a_gradient_get_one_whatever_the_blocks(small_blocks):
    rng = np.random.RandomState(3)
    logits, labels = rng.normal(size=(5, 20, 4)), rng.randint(-1, 4, (5, 20))
    weight = rng.normal(size=(5, 20)) * rng.randint(0, 2, (5, 20))
    x = chainer.Variable(logits)
    loss = softmax_cross_entropy(x, labels)
    loss.grad = weight
    loss.backward()
    softmax = np.exp(logits) / np.exp(logits).sum(axis=2, keepdims=True)
    expected = (softmax - np.eye(4)[labels]) * (weight * (labels >= 0))[..., None]
    np.testing.assert_allclose(x.grad, expected, rtol=1e-12, atol=1e-14)
    assert x.grad.any(axis=2).sum() == ((weight != 0) & (labels >= 0)).sum()


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
