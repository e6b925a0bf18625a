"""What holds for every formulation, and what each documents as its own."""
import inspect

from multibox.losses import LOSSES, caffe, notebook, ssd_keras, ssd_pytorch, super_gradients
from multibox.losses.targets import match_targets
from multibox.matching import match_bipartite, match_forced, match_forced_above, to_center

import chainer
import chainer.functions as F
import chainer.gradient_check
import numpy as np
import pytest
from chainer.backends import cuda

every_loss = pytest.mark.parametrize('loss', LOSSES.values(), ids=LOSSES)


def random_case(B=3, K=30, C=5, p_positive=.15, seed=0):
    rng = np.random.RandomState(seed)
    labels = np.where(rng.uniform(size=(B, K)) < p_positive, rng.randint(1, C, (B, K)), 0)
    return (rng.normal(size=(B, K, 4)).astype('f'), rng.normal(size=(B, K, C), scale=2).astype('f'),
            rng.normal(size=(B, K, 4)).astype('f'), labels.astype('i'))


def terms_and_gradients(loss, xp, mb_locs, mb_confs, gt_mb_locs, gt_mb_labels, k=3, **kwargs):
    mb_locs, mb_confs = (chainer.Variable(xp.asarray(x)) for x in (mb_locs, mb_confs))
    terms = loss.multibox_loss(
        mb_locs, mb_confs, xp.asarray(gt_mb_locs), xp.asarray(gt_mb_labels), k, **kwargs)
    sum(terms).backward()
    return [cuda.to_cpu(x) for x in (*(term.array for term in terms), mb_locs.grad, mb_confs.grad)]


@every_loss
def test_gradients_equal_numerical_ones(loss):
    mb_locs, mb_confs, *targets = random_case(B=2, K=12)
    chainer.gradient_check.check_backward(
        lambda locs, confs: loss.multibox_loss(locs, confs, *targets, 3),
        (mb_locs, mb_confs), (np.array(.7, 'f'), np.array(1.3, 'f')), dtype=np.float64,
        rtol=1e-5, atol=1e-6)


@every_loss
def test_without_positives_both_terms_are_zero_and_connected(xp, loss):
    loc_loss, conf_loss, *gradients = terms_and_gradients(loss, xp, *random_case(p_positive=0))
    assert loc_loss == 0 and conf_loss == 0
    for gradient in gradients:
        np.testing.assert_array_equal(gradient, np.zeros_like(gradient))


@every_loss
@pytest.mark.filterwarnings('error')
@pytest.mark.parametrize('where', [0, 1, 2], ids=['mb_locs', 'mb_confs', 'gt_mb_locs'])
@pytest.mark.parametrize('poison', [np.nan, np.inf, -np.inf])
def test_a_box_outside_the_loss_cannot_make_it_nan(xp, loss, poison, where):
    case = random_case()
    clean = terms_and_gradients(loss, xp, *case)
    unselected = (clean[3] == 0).all(axis=2)
    assert unselected.sum() > 10
    case[where][unselected] = poison
    for before, after in zip(clean, terms_and_gradients(loss, xp, *case)):
        np.testing.assert_array_equal(after, before)


@every_loss
def test_a_box_labelled_minus_one_is_as_if_it_were_not_there(xp, loss):
    mb_locs, mb_confs, gt_mb_locs, gt_mb_labels = random_case(B=2, K=30)
    mb_confs[:, 20:, 1] += 9  # the hardest boxes of all, were they not ignored
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
    assert [float(term.array) for term in terms] == [0, 0]


def test_every_formulation_matches_by_its_own_rule():
    assert {name: loss.match for name, loss in LOSSES.items()} == {
        'caffe': match_bipartite, 'chainercv': match_bipartite, 'ssd_keras': match_bipartite,
        'notebook': match_forced, 'ssd_pytorch': match_forced,
        'super_gradients': match_forced_above}


SIGNATURES = {
    ssd_pytorch.MultiBoxLoss: 'num_classes overlap_thresh=0.5 neg_pos=3 variance=(0.1, 0.2)',
    notebook.MultiBoxLoss: 'jaccard_thresh=0.5 neg_pos=3',
    ssd_keras.SSDLoss: 'neg_pos_ratio=3 n_neg_min=0 alpha=1.0',
    super_gradients.SSDLoss: 'dboxes alpha=1.0 iou_thresh=0.5 neg_pos_ratio=3.0',
    caffe.MultiBoxLoss: 'num_classes overlap_threshold=0.5 neg_pos_ratio=3.0 neg_overlap=0.5 '
                        "loc_weight=1.0 normalization='VALID' variance=(0.1, 0.2)",
}


@pytest.mark.parametrize('system', SIGNATURES, ids=lambda system: system.__module__)
def test_the_published_signature_is_kept(system):
    signature = ' '.join(str(p) for p in inspect.signature(system).parameters.values())
    assert signature.startswith(SIGNATURES[system])


@every_loss
def test_bad_input_is_named(loss):
    mb_locs, mb_confs, gt_mb_locs, gt_mb_labels = random_case()
    with pytest.raises(ValueError, match=r'gt_mb_labels must lie in -1 to C - 1 = 4, got 9 to 9'):
        loss.multibox_loss(mb_locs, mb_confs, gt_mb_locs, np.full_like(gt_mb_labels, 9), 3)


@every_loss
def test_terms_become_what_is_trained_on(loss):
    assert loss.weigh(2., 3.) == 5
    assert loss.weigh(2., 3., alpha=.5) == (4.5 if loss is super_gradients else 4)


@every_loss
def test_logits_of_ten_thousand_give_finite_terms(xp, loss):
    mb_locs, mb_confs, *targets = random_case()
    for x in terms_and_gradients(loss, xp, mb_locs, mb_confs * 5000, *targets):
        assert np.isfinite(x).all()


# One object in the middle, one box on it; far_box lies elsewhere.
BOX, FAR_BOX = [.5, .5, .2, .2], [.1, .1, .05, .05]
OBJECT = [.4, .4, .6, .6, 0]
DEGENERATE = {'no area': [.3, .3, .3, .3, 0], 'inverted': [.6, .6, .4, .4, 0],
              'nan': [np.nan, .4, .6, .6, 0], 'inf': [.4, .4, np.inf, .6, 0],
              'tiny': [.5, .5, .5 + 1e-20, .5 + 1e-20, 0]}


def published(name, confs, targets, priors):
    """The loss through the published interface of a formulation that matches, as one number."""
    locs = np.zeros((len(targets), len(priors), 4), 'f')
    if name == 'super_gradients':
        rows = [[i, row[4], *to_center(np.array([row[:4]], 'f'))[0]]
                for i, image in enumerate(targets) for row in image]
        rows = np.array(rows, 'f').reshape(-1, 6)
        loss, _ = super_gradients.SSDLoss(priors)(
            (locs.transpose(0, 2, 1), confs.transpose(0, 2, 1)), rows)
        return float(loss.array)
    system = LOSSES[name]
    loss = system.MultiBoxLoss(*([] if system is notebook else [confs.shape[2]]))
    targets = [np.array(image, 'f').reshape(-1, 5) for image in targets]
    return float(sum(loss((locs, confs, priors), targets)).array)


matching_losses = pytest.mark.parametrize(
    'name', ['caffe', 'notebook', 'ssd_pytorch', 'super_gradients'])


@matching_losses
@pytest.mark.filterwarnings('error')
@pytest.mark.parametrize('kind', DEGENERATE)
def test_an_object_without_an_area_changes_nothing(name, kind):
    priors = np.array([BOX, FAR_BOX, FAR_BOX, FAR_BOX, FAR_BOX], 'f')
    confs = np.random.RandomState(0).normal(size=(1, 5, 3)).astype('f')
    expected = published(name, confs, [[OBJECT]], priors)
    assert published(name, confs, [[OBJECT, DEGENERATE[kind]]], priors) == expected > 0


@matching_losses
def test_everything_may_be_a_variable(name):
    V = chainer.Variable
    confs = np.random.RandomState(0).normal(size=(1, 3, 3)).astype('f')
    priors, locs = np.array([BOX, FAR_BOX, FAR_BOX], 'f'), np.zeros((1, 3, 4), 'f')
    expected = published(name, confs, [[OBJECT]], priors)
    if name == 'super_gradients':
        row = np.array([[0, 0, *to_center(np.array([OBJECT[:4]], 'f'))[0]]], 'f')
        loss = super_gradients.SSDLoss(V(priors))
        value, _ = loss((V(locs.transpose(0, 2, 1)), V(confs.transpose(0, 2, 1))), V(row))
        assert loss.match_dboxes(V(row))[1].tolist() == [1, 0, 0]
    else:
        loss = LOSSES[name].MultiBoxLoss(*([] if name == 'notebook' else [3]))
        value = sum(loss((V(locs), V(confs), V(priors)), [V(np.array([OBJECT], 'f'))]))
    assert float(value.array) == expected


@pytest.mark.parametrize('name, threshold', [
    ('caffe', 'overlap_threshold'), ('notebook', 'jaccard_thresh'),
    ('ssd_pytorch', 'overlap_thresh'), ('super_gradients', 'iou_thresh')])
def test_the_threshold_is_the_callers(name, threshold):
    half = [.45, .5, .1, .2]  # IoU 0.5 with the object, about
    priors, targets = np.array([BOX, half], 'f'), [np.array([OBJECT], 'f')]
    n_positive = []
    for value in (.3, .8):
        if name == 'super_gradients':
            loss = super_gradients.SSDLoss(priors, **{threshold: value})
            _, labels = loss.match_dboxes(np.array([[0, 0, *BOX]], 'f'))
        else:
            loss = LOSSES[name].MultiBoxLoss(
                **({} if name == 'notebook' else {'num_classes': 2}), **{threshold: value})
            _, labels = match_targets(targets, priors, loss.match)
        n_positive.append(int((labels > 0).sum()))
    assert n_positive == [2, 1]


@pytest.mark.parametrize('name', ['caffe', 'ssd_pytorch'])
def test_variances_are_the_callers(name):
    priors, target = np.array([BOX], 'f'), np.array([[.45, .4, .65, .6, 0]], 'f')
    loss = LOSSES[name].MultiBoxLoss(2, variance=(.5, .2))
    loss_l, _ = loss((np.zeros((1, 1, 4), 'f'), np.zeros((1, 1, 2), 'f'), priors), [target])
    np.testing.assert_allclose(loss_l.array, (.05 / .2 / .5) ** 2 / 2, rtol=1e-4)


def test_ssd_pytorch_ranks_as_its_caller_says():
    priors = np.array([BOX] + 5 * [FAR_BOX], 'f')
    _, confs, _, _ = case_of_a_far_maximum()
    losses = [ssd_pytorch.MultiBoxLoss(2, neg_pos=2, global_maximum=switch)(
        (np.zeros((1, 6, 4), 'f'), confs, priors), [np.array([OBJECT], 'f')])[1].array
        for switch in (True, False)]
    assert losses[0] < 2 < 9 < losses[1]  # the box of cross entropy 9 is mined by one only


@matching_losses
@pytest.mark.parametrize('dtype', [np.float16, np.int32])
def test_priors_of_any_number_type_give_finite_losses(name, dtype):
    priors = np.array([[5, 5, 4, 4], [20, 20, 6, 6], [20, 20, 6, 6]], dtype)
    confs = np.random.RandomState(0).normal(size=(1, 3, 3)).astype('f')
    objects = [[3.5, 3, 7, 7, 0], [3, 3, 3, 3, 0]]
    value = published(name, confs, [objects], priors)
    np.testing.assert_allclose(
        value, published(name, confs, [objects[:1]], priors.astype('f')), rtol=1e-6)


@matching_losses
def test_images_without_objects_give_zero(name):
    confs = np.random.RandomState(0).normal(size=(2, 3, 3)).astype('f')
    assert published(name, confs, [[], []], np.array([BOX, FAR_BOX, FAR_BOX], 'f')) == 0


def case_of_a_far_maximum():
    """A logit of 200 somewhere: boxes near 0 underflow, the worst classified of them too."""
    mb_locs, gt_mb_locs = np.zeros((2, 1, 6, 4), 'f')
    mb_confs = np.zeros((1, 6, 2), 'f')
    mb_confs[0, 5] = 200, 199  # background, not far from sure: CE 0.31
    mb_confs[0, 2] = 0, 9      # background taken for an object: CE 9
    return mb_locs, mb_confs, gt_mb_locs, np.array([[1, 0, 0, 0, 0, 0]], 'i')


def test_ssd_pytorch_ranks_boxes_far_below_the_one_maximum_last(xp):
    case = case_of_a_far_maximum()
    kept, mended = (terms_and_gradients(ssd_pytorch, xp, *case, k=2, global_maximum=switch)[3]
                    for switch in (True, False))
    # The positive at 0 is drawn before the boxes at -inf, so of two only one negative is left.
    assert np.flatnonzero(kept[0].any(axis=1)).tolist() == [0, 5]
    assert np.flatnonzero(mended[0].any(axis=1)).tolist() == [0, 1, 2]


def test_ssd_pytorch_mines_one_box_less_than_all(xp):
    *_, grad = terms_and_gradients(ssd_pytorch, xp, *case_of_a_far_maximum(), k=99)
    # Box 4 is the last of those at -inf; super-gradients, which takes all, has it.
    assert np.flatnonzero(grad[0].any(axis=1)).tolist() == [0, 1, 2, 3, 5]
    *_, grad = terms_and_gradients(super_gradients, xp, *case_of_a_far_maximum(), k=99)
    assert np.flatnonzero(grad[0].any(axis=1)).tolist() == [0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize('count_twice, expected', [(True, 2 * 2 + 1), (False, 2 + 1)])
def test_super_gradients_counts_mined_positives_twice(xp, count_twice, expected):
    loss = super_gradients.HardMiningCrossEntropyLoss(3, count_twice)
    logits, labels = xp.zeros((1, 2, 3), 'f'), xp.asarray([[1, 1, 0]], 'i')  # CE log 2 each
    np.testing.assert_allclose(
        cuda.to_cpu(loss(logits, labels).array), [expected * np.log(2)], rtol=1e-6)


@pytest.mark.parametrize('switch, expected', [
    ({}, 2 * 2 + 1), ({'count_twice': True}, 2 * 2 + 1), ({'count_twice': False}, 2 + 1)])
def test_super_gradients_counts_twice_by_default_in_training_and_in_its_class(switch, expected):
    priors = np.array([BOX, BOX, FAR_BOX], 'f')
    targets = np.array([[0, 0, *BOX]], 'f')  # two boxes lie on it
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
    gt_locs[:2, 0] = 2  # smooth L1 of 1.5 four times
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


@pytest.mark.parametrize('call, match', [
    (lambda: ssd_keras.SSDLoss().compute_loss(np.zeros((1, 2, 14)), np.zeros((1, 2, 15))),
     r'one shape \(B, K, C \+ 12\).*\(1, 2, 14\) and \(1, 2, 15\)'),
    (lambda: ssd_pytorch.MultiBoxLoss(4)((None, np.zeros((1, 2, 3)), None), []),
     r'num_classes = 4\), got \(1, 2, 3\)'),
    (lambda: notebook.MultiBoxLoss()(
        (np.zeros((1, 3, 4)), np.zeros((1, 3, 3)), np.zeros((3, 2))), [None]),
     r'priors must be \(K, 4\), got \(3, 2\)'),
    (lambda: notebook.MultiBoxLoss()(
        (np.zeros((1, 3, 4)), np.zeros((1, 3, 3)), np.zeros((3, 4))), [np.zeros((2, 4))]),
     r'targets\[0\] must be \(R, 5\).*got \(2, 4\)'),
    (lambda: notebook.MultiBoxLoss()(
        (np.zeros((1, 2, 4)), np.zeros((1, 2, 3)), np.zeros((2, 4))), []),
     r'targets must be a list of B = 1 arrays, got 0'),
    (lambda: notebook.MultiBoxLoss()(
        (np.zeros((1, 3, 4)), np.zeros((1, 3, 3)), np.zeros((3, 4))), [np.full((2, 5), -1.)]),
     r'targets\[0\]: classes count from 0, got -1'),
    (lambda: notebook.MultiBoxLoss()(
        (np.zeros((1, 3, 4)), np.zeros((1, 3, 3)), np.zeros((3, 4))), [[]]),
     r'targets\[0\] must be an array \(R, 5\), \(0, 5\) without objects; got list'),
    (lambda: notebook.MultiBoxLoss()(
        (np.zeros((1, 3, 4)), np.zeros((1, 3, 3)), np.zeros((2, 4))), [np.zeros((0, 5))]),
     r'priors must be \(K, 4\) with K = 3 of locs, got \(2, 4\)'),
    (lambda: ssd_pytorch.MultiBoxLoss(3)(
        (np.zeros((1, 1, 4)), np.zeros((1, 1, 3)), np.array([BOX])),
        [np.array([[*OBJECT[:4], 2]])]),
     r'targets hold class 2, and confs \(1, 1, 3\) know 0 to 1 and the background'),
    (lambda: super_gradients.SSDLoss(np.array([BOX]))(
        (np.zeros((1, 4, 1)), np.zeros((1, 3, 1))), np.array([[0, 2, *BOX]])),
     r'the class of each row of targets must lie in 0 to 1'),
    (lambda: super_gradients.SSDLoss(np.array([BOX]))(
        (np.zeros((1, 4, 1)), np.zeros((1, 3, 1))), np.array([[1, 0, *BOX]])),
     r'the image of each row of targets must lie in 0 to 0'),
    (lambda: ssd_keras.SSDLoss().compute_loss(np.full((1, 2, 14), .5), np.zeros((1, 2, 14))),
     r'y_true must be one-hot'),
    (lambda: super_gradients.SSDLoss(np.zeros((4, 2))), r'dboxes must be \(K, 4\).*got \(4, 2\)'),
    (lambda: super_gradients.HardMiningCrossEntropyLoss(3)(
        np.zeros((1, 3, 2), 'f'), np.zeros((1, 3), 'i')),
     r'\(B, C, K\) and target_labels \(B, K\), got \(1, 3, 2\) and \(1, 3\)'),
    (lambda: super_gradients.SSDLoss(np.zeros((2, 4), 'f'))(
        (np.zeros((4, 2), 'f'), np.zeros((3, 2), 'f')), np.zeros((1, 6), 'f')),
     r'locs must be \(B, 4 or C, K\), got \(4, 2\)'),
    (lambda: super_gradients.SSDLoss(np.zeros((2, 4), 'f'))(
        (np.zeros((1, 4, 2), 'f'), np.zeros((1, 3, 2), 'f')), np.zeros((1, 5), 'f')),
     r'targets must be \(R, 6\).*got \(1, 5\)'),
], ids=lambda value: '')
def test_bad_input_of_a_published_interface_is_named(call, match):
    with pytest.raises(ValueError, match=match):
        call()
