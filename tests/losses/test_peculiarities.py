"""Documented peculiarities of each formulation, among them defects and their switches."""

from multibox.boxes.duplicates import distinct
from multibox.losses import ssd_keras, ssd_pytorch, super_gradients, tf_od
from tests.support.formulation_cases import (
    BOX,
    FAR_BOX,
    OBJECT,
    case_of_a_far_maximum,
    random_case,
    terms_and_gradients,
)

import chainer
import chainer.functions as F
import chainer.gradient_check
import numpy as np
import pytest
from chainer.backends import cuda


def test_ssd_pytorch_ranks_as_its_caller_says():
    priors = np.array([BOX] + 5 * [FAR_BOX], 'f')
    _, confs, _, _ = case_of_a_far_maximum()
    losses = [ssd_pytorch.MultiBoxLoss(2, neg_pos=2, global_maximum=switch)(
        (np.zeros((1, 6, 4), 'f'), confs, priors), [np.array([OBJECT], 'f')])[1].array
        for switch in (True, False)]
    assert losses[0] < 2 < 9 < losses[1]  # only the second loss has the box of cross entropy 9


def test_ssd_pytorch_ranks_boxes_far_below_the_one_maximum_last(xp):
    case = case_of_a_far_maximum()
    kept, mended = (terms_and_gradients(ssd_pytorch, xp, *case, k=2, global_maximum=switch)[3]
                    for switch in (True, False))
    # The positive ranks at 0, before the boxes at -inf. It takes one of the two places.
    assert np.flatnonzero(kept[0].any(axis=1)).tolist() == [0, 5]
    assert np.flatnonzero(mended[0].any(axis=1)).tolist() == [0, 1, 2]


def test_ssd_pytorch_mines_one_box_less_than_all(xp):
    *_, grad = terms_and_gradients(ssd_pytorch, xp, *case_of_a_far_maximum(), k=99)
    # Box 4 is the last of the boxes at -inf. super-gradients mines all boxes.
    assert np.flatnonzero(grad[0].any(axis=1)).tolist() == [0, 1, 2, 3, 5]
    *_, grad = terms_and_gradients(super_gradients, xp, *case_of_a_far_maximum(), k=99)
    assert np.flatnonzero(grad[0].any(axis=1)).tolist() == [0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize('count_twice, expected', [(True, 2 * 2 + 1), (False, 2 + 1)])
def test_super_gradients_counts_mined_positives_twice(xp, count_twice, expected):
    loss = super_gradients.HardMiningCrossEntropyLoss(3, count_twice)
    logits, labels = xp.zeros((1, 2, 3), 'f'), xp.asarray([[1, 1, 0]], 'i')  # losses of log 2
    np.testing.assert_allclose(
        cuda.to_cpu(loss(logits, labels).array), [expected * np.log(2)], rtol=1e-6)


@pytest.mark.parametrize('switch, expected', [
    ({}, 2 * 2 + 1), ({'count_twice': True}, 2 * 2 + 1), ({'count_twice': False}, 2 + 1)])
def test_super_gradients_counts_twice_by_default(switch, expected):
    priors = np.array([BOX, BOX, FAR_BOX], 'f')
    targets = np.array([[0, 0, *BOX]], 'f')  # two default boxes lie on the object
    loss = super_gradients.SSDLoss(priors, **switch)
    _, components = loss((np.zeros((1, 4, 3), 'f'), np.zeros((1, 2, 3), 'f')), targets)
    np.testing.assert_allclose(components.array[1], expected * np.log(2), rtol=1e-6)
    zeros, labels = np.zeros((1, 3, 4), 'f'), np.array([[1, 1, 0]], 'i')
    _, conf_loss = super_gradients.multibox_loss(zeros, np.zeros((1, 3, 2), 'f'), zeros, labels)
    np.testing.assert_allclose(conf_loss.array, (2 * 2 + 1) * np.log(2) / 2, rtol=1e-6)


def test_super_gradients_divides_each_image_by_its_own_positives():
    confs = np.zeros((3, 4, 2), 'f')
    labels = np.array([[1, 0, 0, 0], [1, 1, 0, 0], [0, 0, 0, 0]], 'i')
    locs, gt_locs = np.zeros((3, 4, 4), 'f'), np.zeros((3, 4, 4), 'f')
    gt_locs[:2, 0] = 2  # four times a smooth L1 loss of 1.5
    loc, conf = super_gradients.multibox_loss(locs, confs, gt_locs, labels, k=1)
    np.testing.assert_allclose(loc.array, (6 / 1 + 6 / 2 + 0) / 3)
    np.testing.assert_allclose(conf.array, (2 / 1 + 4 / 2 + 0) / 3 * np.log(2), rtol=1e-6)


class DBoxes:
    scale_xy, scale_wh = .5, .25

    def __call__(self, order):
        assert order == 'xywh'
        return np.array([BOX, FAR_BOX], 'f')


def test_super_gradients_takes_boxes_and_variances_from_an_object():
    targets = np.array([[0, 0, .6, .5, .4, .2]], 'f')
    _, components = super_gradients.SSDLoss(DBoxes(), neg_pos_ratio=0)(
        (np.zeros((1, 4, 2), 'f'), np.zeros((1, 2, 2), 'f')), targets)
    dx, dw = .1 / .2 / .5, np.log(.4 / .2) / .25
    np.testing.assert_allclose(components.array[0], (dx - .5) + (dw - .5), rtol=1e-5)


def test_ssd_keras_mines_from_the_whole_batch(xp):
    mb_locs, mb_confs, gt_mb_locs, gt_mb_labels = random_case(B=2, K=6, p_positive=0)
    gt_mb_labels[0, 0] = 1
    mb_confs[1, :, 1] += 20  # all the worst boxes are in the image without an object
    *_, grad = terms_and_gradients(ssd_keras, xp, mb_locs, mb_confs, gt_mb_locs, gt_mb_labels, 3)
    assert grad.any(axis=2).sum(axis=1).tolist() == [1, 3]


def test_ssd_keras_has_no_gradient_below_its_floor(xp):
    y_true, y_pred = np.zeros((2, 1, 1, 14), 'f')
    y_true[..., 1] = 1
    y_pred[..., :2] = 1, 1e-20
    y_pred = chainer.Variable(xp.asarray(y_pred))
    loss = ssd_keras.SSDLoss().compute_loss(xp.asarray(y_true), y_pred)
    F.sum(loss).backward()
    np.testing.assert_allclose(cuda.to_cpu(loss.array), [-np.log(1e-15)], rtol=1e-6)
    assert not y_pred.grad.any()


@pytest.mark.parametrize('n_hard', [1, 20, 21, 60])
def test_tf_od_takes_the_first_boxes_that_differ(n_hard, monkeypatch):
    monkeypatch.setattr(tf_od, 'N_HARD_EXAMPLES', n_hard)
    rng = np.random.RandomState(0)
    corner = rng.randint(0, 3, (60, 2))  # most boxes coincide with others
    bbox = np.hstack([corner, corner + 1]).astype('f')
    order = rng.permutation(60)
    expected = order[distinct(bbox, order, .99)[order]][:n_hard]
    np.testing.assert_array_equal(
        tf_od._first_distinct(bbox.__getitem__, order, .99), expected)


def test_tf_od_keeps_the_digits_of_well_classified_boxes():
    logits = np.array([[[1e8, 5, 5], [1e8, 3, 3], [20, -20, -20]]], 'f')
    losses = tf_od._sigmoid_losses(logits, np.zeros((1, 3), int))
    exact = np.logaddexp(0, np.float64([[-1e8, 5, 5], [-1e8, 3, 3], [-20, -20, -20]])).sum(axis=1)
    np.testing.assert_allclose(losses, exact[None], rtol=1e-6)


@pytest.mark.filterwarnings('error')
def test_tf_od_decodes_any_prediction_without_a_warning():
    mb_locs = np.zeros((1, 6, 4), 'e')
    mb_locs[0, :3] = np.array([np.inf, 500, -500])[:, None]
    labels = np.array([[0, 0, 0, 1, 0, 0]])
    priors = np.tile(np.array([150, 150, 300, 300], 'e'), (6, 1))
    terms = tf_od.multibox_loss(
        mb_locs, np.zeros((1, 6, 3), 'e'), np.zeros((1, 6, 4), 'f'), labels, 3, priors=priors)
    assert all(np.isfinite(term.array) for term in terms)
