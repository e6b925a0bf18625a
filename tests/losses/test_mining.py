"""Hard negatives against loops, and against cases worked by hand."""
from multibox.mining import hard_negatives, hard_negatives_of_batch, hardest_with_positives

import numpy as np
import pytest
from chainer.backends import cuda
from hypothesis import given, settings
from hypothesis import strategies as st


def slow_hard_negatives(conf_loss, positive, neg_pos_ratio, ignored):
    mined = np.zeros(positive.shape, bool)
    for b in range(len(positive)):
        candidates = [j for j in range(positive.shape[1]) if not (positive | ignored)[b, j]]
        candidates.sort(key=lambda j: (-conf_loss[b, j], j))
        mined[b, candidates[:int(np.ceil(positive[b].sum() * neg_pos_ratio))]] = True
    return mined


@settings(deadline=None, max_examples=200)
@given(st.integers(1, 3), st.integers(1, 20), st.sampled_from([0, .5, 1, 1.5, 3, 100]),
       st.integers(0, 2 ** 31))
def test_equals_a_loop_over_sorted_candidates(B, K, neg_pos_ratio, seed):
    rng = np.random.RandomState(seed)
    conf_loss = rng.randint(0, 5, (B, K)).astype('f')  # many ties
    kind = rng.choice(3, (B, K), p=[.6, .2, .2])
    np.testing.assert_array_equal(
        hard_negatives(conf_loss, kind == 1, neg_pos_ratio, ignored=kind == 2),
        slow_hard_negatives(conf_loss, kind == 1, neg_pos_ratio, kind == 2))


def test_three_negatives_per_positive_of_the_same_image(xp):
    conf_loss = xp.asarray([[9, 1, 5, 4, 3, 2, 6, 0], [1, 2, 3, 4, 5, 6, 7, 8]], 'f')
    positive = xp.zeros((2, 8), bool)
    positive[0, 0] = True
    mined = cuda.to_cpu(hard_negatives(conf_loss, positive))
    assert np.flatnonzero(mined[0]).tolist() == [2, 3, 6]
    assert not mined[1].any()


@pytest.mark.parametrize('n_positive', [0, 1, 8, 40], ids='{}pos'.format)
def test_never_more_than_the_ratio_or_the_negatives(xp, n_positive):
    positive = xp.arange(40)[None] < n_positive  # (1, 40)
    mined = hard_negatives(xp.ones((1, 40), 'f'), positive)
    assert int(mined.sum()) == min(3 * n_positive, 40 - n_positive)
    assert not (mined & positive).any()


def test_ties_go_to_the_lowest_index(xp):
    positive = xp.arange(10)[None] == 4
    mined = cuda.to_cpu(hard_negatives(xp.ones((1, 10), 'f'), positive, neg_pos_ratio=5))
    assert np.flatnonzero(mined[0]).tolist() == [0, 1, 2, 3, 5]


@pytest.mark.parametrize('bad', [np.nan, np.inf])
def test_a_loss_that_is_not_finite_ranks_last(xp, bad):
    conf_loss = xp.asarray([[1, bad, 0, .5]], 'f')
    positive = xp.asarray([[True, False, False, False]])
    two = hard_negatives(conf_loss, positive, neg_pos_ratio=2)
    three = hard_negatives(conf_loss, positive, neg_pos_ratio=3)
    assert two.tolist() == [[False, False, True, True]]
    assert three.tolist() == [[False, True, True, True]]


@pytest.mark.parametrize('conf_loss, positive, ratio, match', [
    (np.zeros((2, 3), 'f'), np.zeros((2, 4), bool), 3, r'\(2, 3\) and \(2, 4\)'),
    (np.zeros(3, 'f'), np.zeros(3, bool), 3, r'\(B, K\), got \(3,\)'),
    (np.zeros((2, 3), 'f'), np.zeros((2, 3), bool), -1, '>= 0, got -1'),
    (np.zeros((2, 3), 'f'), np.zeros((2, 3), bool), np.nan, '>= 0, got nan'),
], ids=['shapes', 'rank', 'ratio', 'nan'])
def test_bad_input_is_named(conf_loss, positive, ratio, match):
    for mine in (hard_negatives, hard_negatives_of_batch,
                 lambda *args: hardest_with_positives(*args, at_most=1)):
        with pytest.raises(ValueError, match=match):
            mine(conf_loss, positive, ratio)


def test_ignored_of_another_shape_is_named():
    with pytest.raises(ValueError, match=r'ignored must be \(B, K\) = \(2, 3\), got \(3,\)'):
        hard_negatives(np.zeros((2, 3), 'f'), np.zeros((2, 3), bool), 3, np.zeros(3, bool))


@pytest.mark.filterwarnings('error')
@pytest.mark.parametrize('ratio', [np.inf, 10 ** 20], ids=['inf', 'huge'])
def test_an_endless_ratio_takes_every_negative_of_images_with_positives(xp, ratio):
    positive = xp.asarray([[True, False, False], [False, False, False]])
    mined = hard_negatives(xp.ones((2, 3), 'f'), positive, ratio)
    assert mined.tolist() == [[False, True, True], [False, False, False]]


@settings(deadline=None, max_examples=200)
@given(st.integers(1, 3), st.integers(1, 20), st.sampled_from([0, 1, 3, 100]),
       st.sampled_from([0, 4, 100]), st.integers(0, 2 ** 31))
def test_the_batch_equals_a_loop_over_all_its_candidates(B, K, neg_pos_ratio, n_neg_min, seed):
    rng = np.random.RandomState(seed)
    conf_loss = rng.randint(0, 5, (B, K)).astype('f')  # many ties, and many zeros
    kind = rng.choice(3, (B, K), p=[.6, .2, .2])
    candidates = [(-conf_loss[b, j], b, j) for b in range(B) for j in range(K)
                  if kind[b, j] == 0 and conf_loss[b, j] != 0]
    expected = np.zeros((B, K), bool)
    for _, b, j in sorted(candidates)[:max(neg_pos_ratio * (kind == 1).sum(), n_neg_min)]:
        expected[b, j] = True
    np.testing.assert_array_equal(
        hard_negatives_of_batch(conf_loss, kind == 1, neg_pos_ratio, n_neg_min, kind == 2),
        expected)


@settings(deadline=None, max_examples=200)
@given(st.integers(1, 3), st.integers(1, 20), st.sampled_from([0, .3, 1, 3, 100]),
       st.integers(0, 20), st.integers(0, 2 ** 31))
def test_positives_compete_with_a_loss_of_zero(B, K, neg_pos_ratio, at_most, seed):
    rng = np.random.RandomState(seed)
    conf_loss = rng.randint(-2, 5, (B, K)).astype('f')
    conf_loss[rng.uniform(size=(B, K)) < .1] = -np.inf  # as with one maximum per batch
    positive = rng.uniform(size=(B, K)) < .3
    expected = np.zeros((B, K), bool)
    for b in range(B):
        order = sorted(range(K), key=lambda j: (0 if positive[b, j] else -conf_loss[b, j], j))
        n = np.float32(neg_pos_ratio) * np.float32(positive[b].sum())
        expected[b, order[:min(int(np.ceil(n)), at_most)]] = True
    np.testing.assert_array_equal(
        hardest_with_positives(conf_loss, positive, neg_pos_ratio, at_most), expected)


def test_every_rule_is_the_same_on_every_device(xp):
    conf_loss = xp.asarray([[4, 1, 0, 3, 2], [5, 6, 0, 7, 9]], 'f')
    positive = xp.asarray([[1, 0, 0, 0, 0], [0] * 5], bool)
    assert xp.argwhere(hard_negatives_of_batch(conf_loss, positive, 2)).tolist() == [[1, 3], [1, 4]]
    assert xp.argwhere(hardest_with_positives(conf_loss, positive, 5, at_most=4)).tolist() == [
        [0, 0], [0, 1], [0, 3], [0, 4]]


def test_a_negative_minimum_is_named():
    with pytest.raises(ValueError, match='n_neg_min must be >= 0, got -1'):
        hard_negatives_of_batch(np.zeros((1, 2), 'f'), np.zeros((1, 2), bool), n_neg_min=-1)


def test_a_fraction_is_rounded_up_in_single_precision(xp):
    positive = xp.arange(100)[None] < 50
    marked = hardest_with_positives(xp.ones((1, 100), 'f'), positive, .3, at_most=100)
    assert int(marked.sum()) == 16  # in single precision 0.3 is 0.30000001
