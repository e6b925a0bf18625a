"""Properties of every formulation of the loss."""

from multibox.boxes.matching import match_above, match_above_or_best
from multibox.losses import LOSSES, balancap, d2l, rykov8, super_gradients
from multibox.matching import (
    match_bipartite,
    match_forced,
    match_forced_above,
    match_forced_first,
)
from tests.support.formulation_cases import random_case, terms_and_gradients

import chainer
import chainer.functions as F
import chainer.gradient_check
import numpy as np
import pytest

every_loss = pytest.mark.parametrize('loss', LOSSES.values(), ids=LOSSES)
NEGATIVES_ALONE = balancap, d2l, rykov8  # have a confidence loss without positives


@every_loss
def test_gradients_equal_numerical_ones(xp, loss):
    mb_locs, mb_confs, *targets = map(xp.asarray, random_case(B=2, K=12))
    chainer.gradient_check.check_backward(
        lambda *predictions: tuple(map(F.sum, loss.multibox_loss(*predictions, *targets, 3))),
        (mb_locs, mb_confs), (xp.asarray(.7, 'f'), xp.asarray(1.3, 'f')), dtype=np.float64,
        rtol=1e-5, atol=1e-6)


@every_loss
def test_without_positives_both_terms_are_zero_and_connected(xp, loss):
    loc_loss, conf_loss, grad_loc, grad_conf = terms_and_gradients(
        loss, xp, *random_case(p_positive=0))
    assert not loc_loss.any() and not grad_loc.any()
    assert conf_loss.any() == grad_conf.any() == (loss in NEGATIVES_ALONE)


@every_loss
@pytest.mark.filterwarnings('error')
@pytest.mark.parametrize('where', [0, 1, 2], ids=['mb_locs', 'mb_confs', 'gt_mb_locs'])
@pytest.mark.parametrize('poison', [np.nan, np.inf, -np.inf])
def test_a_box_outside_the_loss_cannot_make_it_nan(xp, loss, poison, where):
    case = random_case()
    clean = terms_and_gradients(loss, xp, *case)
    if loss is d2l:
        pytest.skip('no box is outside')
    unselected = (clean[3] == 0).all(axis=2)
    assert unselected.sum() > 10
    case[where][unselected] = poison
    for before, after in zip(clean, terms_and_gradients(loss, xp, *case)):
        np.testing.assert_array_equal(after, before)


@every_loss
def test_a_box_labelled_minus_one_is_as_if_it_were_not_there(xp, loss):
    mb_locs, mb_confs, gt_mb_locs, gt_mb_labels = random_case(B=2, K=30)
    mb_confs[:, 20:, 1] += 9  # the hardest boxes, if they were not ignored
    gt_mb_labels[:, 20:] = -1
    case = mb_locs, mb_confs, gt_mb_locs, gt_mb_labels
    ignoring = terms_and_gradients(loss, xp, *case)
    without = terms_and_gradients(loss, xp, *(x[:, :20] for x in case))
    np.testing.assert_allclose(ignoring[:2], without[:2], rtol=1e-6)
    assert not ignoring[2][:, 20:].any() and not ignoring[3][:, 20:].any()
    np.testing.assert_allclose(ignoring[3][:, :20], without[3], rtol=1e-6, atol=1e-8)


@every_loss
def test_float16_predictions_give_what_float32_gives(xp, loss):
    mb_locs, mb_confs, *targets = random_case()
    mb_confs[:, :, 0] -= 20  # probabilities that float16 cannot tell from 0
    half = mb_locs.astype(np.float16), mb_confs.astype(np.float16)
    single = [x.astype(np.float32) for x in half]
    ours = terms_and_gradients(loss, xp, *half, *targets)
    np.testing.assert_allclose(
        ours[:2], terms_and_gradients(loss, xp, *single, *targets)[:2], rtol=1e-6)
    assert ours[0].dtype == ours[1].dtype == np.float32 and ours[3].dtype == np.float16


@every_loss
def test_an_empty_batch_gives_zero(xp, loss):
    terms = loss.multibox_loss(*(xp.zeros((0, 5, n), 'f') for n in (4, 3, 4)),
                               xp.zeros((0, 5), 'i'), 3)
    assert [float(F.sum(term).array) for term in terms] == [0, 0]


def test_every_formulation_matches_by_its_own_rule():
    assert {name: loss.match for name, loss in LOSSES.items()} == {
        **dict.fromkeys(('caffe', 'chainercv', 'd2l', 'gluoncv', 'ssd_keras'), match_bipartite),
        **dict.fromkeys(('mmdet', 'notebook', 'sgrvinod', 'ssd_pytorch', 'torchvision'),
                        match_forced),
        **dict.fromkeys(('nvidia', 'super_gradients'), match_forced_above),
        'balancap': match_above, 'rykov8': match_above_or_best, 'tf_od': match_forced_first}


@every_loss
def test_bad_input_is_named(loss):
    mb_locs, mb_confs, gt_mb_locs, gt_mb_labels = random_case()
    with pytest.raises(ValueError, match=r'gt_mb_labels must lie in -1 to C - 1 = 4, got 9 to 9'):
        loss.multibox_loss(mb_locs, mb_confs, gt_mb_locs, np.full_like(gt_mb_labels, 9), 3)


@every_loss
def test_weigh_gives_the_loss_that_is_trained(loss):
    terms = [chainer.Variable(np.array(value, 'f')) for value in (2, 3)]
    assert loss.weigh(*terms).array == 5
    assert loss.weigh(*terms, alpha=.5).array == (4.5 if loss is super_gradients else 4)


@pytest.mark.parametrize('name, expected', [
    ('mmdet', 6), ('gluoncv', 6), ('rykov8', 3), ('d2l', 3)])
def test_a_loss_per_image_is_joined_as_the_original_joins_it(name, expected):
    weigh = LOSSES[name].weigh
    assert weigh(np.array([1, 2], 'f'), np.array([3, 0], 'f')).array == expected


@every_loss
def test_logits_of_ten_thousand_give_finite_terms(xp, loss):
    mb_locs, mb_confs, *targets = random_case()
    for x in terms_and_gradients(loss, xp, mb_locs, mb_confs * 5000, *targets):
        assert np.isfinite(x).all()


@pytest.mark.parametrize('name', sorted({*LOSSES} - {'tf_od'}))  # tf_od mines on the host
@pytest.mark.gpu
@pytest.mark.filterwarnings('ignore:cupyx.allow_synchronize')
def test_a_gpu_is_not_waited_for(gpu, name):
    loss, case = LOSSES[name], [gpu.send(array) for array in random_case()]
    mb_locs, mb_confs = map(chainer.Variable, case[:2])
    with chainer.backends.cuda.cupyx.allow_synchronize(False):
        loss.weigh(*loss.multibox_loss(mb_locs, mb_confs, *case[2:], 3)).backward()
    assert abs(mb_locs.grad).max() > 0 and abs(mb_confs.grad).max() > 0
