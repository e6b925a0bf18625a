"""Two formulations without golden numbers, against slow readings of their papers and code."""
from multibox.losses import LOSSES, d2l, nvidia, super_gradients
from multibox.matching import match_bipartite
from tests.support.formulation_cases import random_case, terms_and_gradients

import numpy as np
import pytest


def cross_entropy(logits, label):
    return np.log(np.exp(logits - logits[label]).sum())


def slow_d2l(mb_locs, mb_confs, gt_mb_locs, gt_mb_labels):
    """Per image the mean distance over all offsets and the mean cross entropy over all boxes."""
    loc, conf = [], []
    for locs, confs, gt_locs, labels in zip(mb_locs, mb_confs, gt_mb_locs, gt_mb_labels):
        mask = (labels > 0)[:, None]
        loc.append(np.abs(locs * mask - gt_locs * mask).mean())
        conf.append(np.mean([cross_entropy(x, label) for x, label in zip(confs, labels)]))
    return loc, conf


def slow_nvidia(mb_locs, mb_confs, gt_mb_locs, gt_mb_labels):
    """Per image the sums over positives and the 3 n boxes of the highest rank, divided by n."""
    loc, conf = [], []
    for locs, confs, gt_locs, labels in zip(mb_locs, mb_confs, gt_mb_locs, gt_mb_labels):
        positive = labels > 0
        n = positive.sum()
        x = np.abs(locs - gt_locs)
        smooth = np.where(x < 1, x * x / 2, x - .5).sum(axis=1)
        losses = np.array([cross_entropy(x, label) for x, label in zip(confs, labels)])
        rank = np.where(positive, 0, losses).argsort()[::-1].argsort()
        mined = rank < min(3 * n, len(labels))
        loc.append(smooth[positive].sum() / max(n, 1))
        conf.append(losses[positive | mined].sum() / max(n, 1) * (n > 0))
    return np.mean(loc), np.mean(conf)


@pytest.mark.parametrize('module, slow', [(d2l, slow_d2l), (nvidia, slow_nvidia)])
@pytest.mark.parametrize('p_positive', [0, .15, .6])
def test_a_slow_reading_gives_the_same(xp, module, slow, p_positive):
    case = random_case(p_positive=p_positive, seed=4)
    terms = terms_and_gradients(module, xp, *case)[:2]
    for term, expected in zip(terms, slow(*case)):
        np.testing.assert_allclose(term, expected, rtol=1e-5)


def test_a_crowded_image_tells_nvidia_from_super_gradients(xp):
    case = random_case(p_positive=.6)
    assert (terms_and_gradients(nvidia, xp, *case)[1]
            < terms_and_gradients(super_gradients, xp, *case)[1])


def test_d2l_does_not_mine(xp):
    gradient = terms_and_gradients(d2l, xp, *random_case())[3]
    assert gradient.any(axis=2).all()


def slow_rykov8_match(iou, threshold=.5):
    """Every object claims boxes, then every box chooses among its claims."""
    claims = np.zeros_like(iou)
    for j in range(iou.shape[1]):
        mask = iou[:, j] > threshold
        if not mask.any():
            mask[iou[:, j].argmax()] = True
        claims[mask, j] = iou[mask, j]
    return np.where(claims.max(axis=1) > 0, claims.argmax(axis=1), -1)


@pytest.mark.parametrize('seed', range(20))
def test_rykov8_matches_as_its_slow_reading(xp, seed):
    rng = np.random.RandomState(seed)
    iou = np.round(rng.uniform(0, .9, (12, 5)) ** 2, 1 + seed % 3).astype('f')
    iou[:, 0] *= seed % 2  # an object that overlaps nothing
    matched = LOSSES['rykov8'].match(xp.asarray(iou))
    np.testing.assert_array_equal(np.asarray(matched.tolist()), slow_rykov8_match(iou))


def test_balancap_leaves_an_object_without_a_good_box_alone(xp):
    iou = xp.asarray([[.4, .6], [.5, .2]], 'f')
    assert LOSSES['balancap'].match(iou).tolist() == [1, -1]
    assert match_bipartite(iou).tolist() == [1, 0]


@pytest.mark.parametrize('name, switch, error', [
    ('gluoncv', {'min_hard_negatives': -1}, 'min_hard_negatives must be >= 0, got -1'),
    ('tf_od', {'conf_loss': 'focal'}, "conf_loss must be one of sigmoid, softmax, got 'focal'"),
    ('tf_od', {'iou_threshold': float('nan')}, 'iou_threshold must be >= 0, got nan'),
    ('tf_od', {'iou_threshold': 1.5}, 'iou_threshold must be from 0 to 1, got 1.5'),
    ('tf_od', {'priors': np.zeros((3, 4))}, r'priors must be \(30, 4\)')])
def test_bad_switches_are_named(name, switch, error):
    with pytest.raises(ValueError, match=error):
        LOSSES[name].multibox_loss(*random_case(), 3, **switch)
