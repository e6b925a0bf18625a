"""multibox_loss against ChainerCV's numbers and a slow double loop, and its edge cases."""
import tracemalloc

from multibox import multibox_loss
from multibox.losses import blocks
from tests.support.loss_cases import CASES, FakeCommunicator, random_case

import chainer
import chainer.gradient_check
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st


def slow_multibox_loss(mb_locs, mb_confs, gt_mb_locs, gt_mb_labels, k):
    """Equations 2 and 3 of the paper, box by box and in double precision."""
    loc_loss = conf_loss = 0.
    for locs, confs, gt_locs, gt_labels in zip(mb_locs, mb_confs, gt_mb_locs, gt_mb_labels):
        negative_losses, n_positive = [], 0
        for loc, conf, gt_loc, label in zip(locs, confs, gt_locs, gt_labels):
            conf = conf.astype(np.float64)
            cross_entropy = conf.max() + np.log(np.exp(conf - conf.max()).sum()) - conf[label]
            if label > 0:
                n_positive += 1
                conf_loss += cross_entropy
                for difference in np.abs(loc.astype(np.float64) - gt_loc):
                    loc_loss += difference - .5 if difference > 1 else difference ** 2 / 2
            elif label == 0:
                negative_losses.append(cross_entropy)
        n_negative = min(int(np.ceil(k * n_positive)), len(negative_losses))
        conf_loss += sum(sorted(negative_losses, reverse=True)[:n_negative])
    n_positive = max(1, (gt_mb_labels > 0).sum())
    return loc_loss / n_positive, conf_loss / n_positive


def loss_and_gradients(mb_locs, mb_confs, gt_mb_locs, gt_mb_labels, k=3, **kwargs):
    mb_locs, mb_confs = chainer.Variable(mb_locs), chainer.Variable(mb_confs)
    losses = multibox_loss(mb_locs, mb_confs, gt_mb_locs, gt_mb_labels, k, **kwargs)
    sum(losses).backward()
    return [chainer.backends.cuda.to_cpu(x)
            for x in (losses[0].array, losses[1].array, mb_locs.grad, mb_confs.grad)]


@pytest.mark.parametrize('case', CASES)
def test_values_and_gradients_are_chainercvs(xp, golden, case):
    g = golden(f'chainercv-{case}')
    inputs = [xp.asarray(g[key]) for key in ('mb_locs', 'mb_confs', 'gt_mb_locs', 'gt_mb_labels')]
    loc_loss, conf_loss, grad_loc, grad_conf = loss_and_gradients(*inputs, k=g['k'].item())
    np.testing.assert_allclose(loc_loss, g['loc_loss'], rtol=1e-5)
    np.testing.assert_allclose(conf_loss, g['conf_loss'], rtol=1e-5)
    np.testing.assert_allclose(grad_loc, g['grad_loc'], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(grad_conf, g['grad_conf'], rtol=1e-5, atol=1e-6)


@settings(deadline=None, max_examples=100)
@given(B=st.integers(1, 4), K=st.integers(1, 40), C=st.integers(2, 6),
       p_positive=st.sampled_from([0., .1, .5, 1.]), p_ignored=st.sampled_from([0., .3]),
       k=st.sampled_from([0, .5, 1.5, 3, 100]), seed=st.integers(0, 2 ** 31))
def test_values_equal_a_slow_double_loop(B, K, C, p_positive, p_ignored, k, seed):
    case = random_case(B, K, C, p_positive, seed, p_ignored)
    losses = [loss.array for loss in multibox_loss(*case, k)]
    np.testing.assert_allclose(losses, slow_multibox_loss(*case, k), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize('k', [0, 1.5, 3])
def test_gradients_equal_numerical_ones(xp, k):
    mb_locs, mb_confs, gt_mb_locs, gt_mb_labels = map(
        xp.asarray, random_case(2, 12, 4, .2, seed=3, p_ignored=.1))
    chainer.gradient_check.check_backward(
        lambda locs, confs: multibox_loss(locs, confs, gt_mb_locs, gt_mb_labels, k),
        (mb_locs, mb_confs), (xp.asarray(.7, 'f'), xp.asarray(1.3, 'f')), dtype=np.float64,
        rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize('poison', [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize('where', ['mb_locs', 'mb_confs', 'gt_mb_locs'])
def test_a_box_outside_the_loss_cannot_harm_it(xp, where, poison):
    case = dict(zip(('mb_locs', 'mb_confs', 'gt_mb_locs', 'gt_mb_labels'),
                    random_case(3, 50, 5, .1, seed=1)))
    clean = loss_and_gradients(**{name: xp.asarray(array) for name, array in case.items()})
    unselected = (clean[3] == 0).all(axis=2)
    assert unselected.sum() > 20
    case[where][unselected] = poison
    harmed = loss_and_gradients(**{name: xp.asarray(array) for name, array in case.items()})
    for before, after in zip(clean, harmed):
        np.testing.assert_array_equal(after, before)


def test_ignored_boxes_are_neither_positive_nor_negative(xp):
    mb_locs, mb_confs, gt_mb_locs, gt_mb_labels = random_case(2, 30, 4, .3, seed=5, p_ignored=.4)
    *_, grad_loc, grad_conf = loss_and_gradients(
        *map(xp.asarray, (mb_locs, mb_confs, gt_mb_locs, gt_mb_labels)), k=100)
    ignored = gt_mb_labels == -1
    assert ignored.any() and not grad_loc[ignored].any() and not grad_conf[ignored].any()
    assert grad_conf[gt_mb_labels == 0].all()


def test_an_ignored_box_takes_no_negatives_place(xp):
    confs = np.zeros((1, 3, 2), 'f')
    confs[0, 1] = 200, 0  # a certain background box: its cross entropy is exactly 0
    labels = np.array([[1, 0, -1]], 'i')
    locs = np.zeros((1, 3, 4), 'f')
    for k in (1, 2):
        loss = multibox_loss(*map(xp.asarray, (locs, confs, locs, labels)), k)[1]
        loss_without = multibox_loss(
            *map(xp.asarray, (locs[:, :2], confs[:, :2], locs[:, :2], labels[:, :2])), k)[1]
        assert float(loss.array) == float(loss_without.array)


@pytest.mark.parametrize('dtype', [np.int8, np.uint8, np.int64])
def test_any_integer_type_of_labels_gives_the_same(xp, dtype):
    mb_locs, mb_confs, gt_mb_locs, gt_mb_labels = random_case(2, 20, 300, .2, seed=23)
    gt_mb_labels = np.minimum(gt_mb_labels, 100)
    both = [loss_and_gradients(*map(xp.asarray, (mb_locs, mb_confs, gt_mb_locs, labels)))
            for labels in (gt_mb_labels, gt_mb_labels.astype(dtype))]
    for one, two in zip(*both):
        np.testing.assert_array_equal(one, two)


def test_without_positives_losses_are_zero_and_stay_connected(xp):
    mb_locs, mb_confs, gt_mb_locs, gt_mb_labels = map(xp.asarray, random_case(2, 30, 4, 0., seed=7))
    loc_loss, conf_loss, grad_loc, grad_conf = loss_and_gradients(
        mb_locs, mb_confs, gt_mb_locs, gt_mb_labels)
    assert loc_loss == 0 and conf_loss == 0
    np.testing.assert_array_equal(grad_loc, np.zeros((2, 30, 4)))
    np.testing.assert_array_equal(grad_conf, np.zeros((2, 30, 4)))


def test_float16_predictions_are_summed_in_float32(xp):
    B, K = 4, 8732
    mb_locs = np.full((B, K, 4), 30, np.float16)  # a float16 sum of these is inf
    mb_confs = np.zeros((B, K, 3), np.float16)
    gt_mb_locs, gt_mb_labels = np.zeros((B, K, 4), 'f'), np.ones((B, K), 'i')
    loc_loss, conf_loss, grad_loc, grad_conf = loss_and_gradients(
        *map(xp.asarray, (mb_locs, mb_confs, gt_mb_locs, gt_mb_labels)))
    np.testing.assert_allclose([loc_loss, conf_loss], [4 * 29.5, np.log(3)], rtol=1e-5)
    assert loc_loss.dtype == conf_loss.dtype == np.float32
    assert grad_loc.dtype == grad_conf.dtype == np.float16


def test_variables_and_arrays_give_the_same():
    case = random_case(2, 20, 3, .2, seed=11)
    plain = multibox_loss(*case, 3)
    wrapped = multibox_loss(*map(chainer.Variable, case), 3)
    assert [x.array for x in plain] == [x.array for x in wrapped]


def test_inputs_are_not_modified():
    case = random_case(2, 20, 3, .2, seed=13)
    copies = [array.copy() for array in case]
    loss_and_gradients(*case)
    for array, copy in zip(case, copies):
        np.testing.assert_array_equal(array, copy)


@pytest.mark.parametrize('p_positive', [.001, .5], ids='{} positive'.format)
def test_no_second_copy_of_the_logits_beside_their_gradient(p_positive, monkeypatch):
    # The blocks are as small relative to 8 images as the real blocks are to 32.
    monkeypatch.setattr(blocks, 'BLOCK', blocks.BLOCK // 4)
    monkeypatch.setattr(blocks, 'SPAN', blocks.SPAN // 4)
    case = random_case(8, 8732, 21, p_positive, seed=0)
    loss_and_gradients(*case)
    tracemalloc.start()
    loss_and_gradients(*case)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1.3 * case[1].nbytes  # the gradients alone are 1.19


def test_two_classes_take_little_more_than_both_gradients(monkeypatch):
    monkeypatch.setattr(blocks, 'BLOCK', blocks.BLOCK // 4)
    case = random_case(8, 8732, 2, .001, seed=0)
    loss_and_gradients(*case)
    tracemalloc.start()
    loss_and_gradients(*case)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1.3 * case[1].nbytes + case[0].nbytes


@pytest.mark.parametrize('n_other', [0, 5, 1000])
def test_positives_are_averaged_over_processes(n_other):
    case = random_case(2, 50, 4, .2, seed=17)
    n = (case[3] > 0).sum()
    alone = multibox_loss(*case, 3)
    together = multibox_loss(*case, 3, comm=FakeCommunicator(n_other))
    for one, two in zip(alone, together):
        np.testing.assert_allclose(two.array, one.array * n / ((n + n_other) / 2), rtol=1e-6)


def test_a_process_without_positives_gives_zero_beside_one_with():
    case = random_case(2, 50, 4, 0., seed=19)
    for loss in multibox_loss(*case, 3, comm=FakeCommunicator(1)):
        assert loss.array == 0


@pytest.mark.parametrize('change, match', [
    ({'mb_confs': np.zeros((2, 5), 'f')}, r'\(B, K, C\).*\(2, 5\)'),
    ({'mb_confs': np.zeros((2, 5, 1), 'f')}, r'C >= 2.*\(2, 5, 1\)'),
    ({'mb_locs': np.zeros((2, 6, 4), 'f')}, r'mb_locs must be \(2, 5, 4\).*\(2, 6, 4\)'),
    ({'gt_mb_locs': np.zeros((2, 5), 'f')}, r'gt_mb_locs must be \(2, 5, 4\).*\(2, 5\)'),
    ({'gt_mb_labels': np.zeros((3, 5), 'i')}, r'gt_mb_labels must be \(2, 5\).*\(3, 5\)'),
    ({'gt_mb_labels': np.zeros((2, 5), 'f')}, 'integers, got float32'),
    ({'gt_mb_labels': np.full((2, 5), 3, 'i')}, 'C - 1 = 2, got 3 to 3'),
    ({'gt_mb_labels': np.full((2, 5), -2, 'i')}, 'C - 1 = 2, got -2 to -2'),
    ({'k': -1}, '>= 0, got -1'),
    ({'k': float('nan')}, '>= 0, got nan'),
], ids=lambda value: '-'.join(value) if isinstance(value, dict) else '')
def test_bad_input_is_named_with_both_values(change, match):
    case = {'mb_locs': np.zeros((2, 5, 4), 'f'), 'mb_confs': np.zeros((2, 5, 3), 'f'),
            'gt_mb_locs': np.zeros((2, 5, 4), 'f'), 'gt_mb_labels': np.zeros((2, 5), 'i'), 'k': 3}
    with pytest.raises(ValueError, match=match):
        multibox_loss(**{**case, **change})
