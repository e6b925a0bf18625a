"""The published interfaces: signatures, inputs of any kind, and errors about bad inputs."""
import inspect

from multibox.losses import LOSSES, caffe, notebook, ssd_keras, ssd_pytorch, super_gradients
from multibox.losses.matching_loss import match_targets
from multibox.matching import to_center
from tests.support.formulation_cases import (
    BOX,
    FAR_BOX,
    OBJECT,
)

import chainer
import chainer.gradient_check
import numpy as np
import pytest

DEGENERATE = {'no area': [.3, .3, .3, .3, 0], 'inverted': [.6, .6, .4, .4, 0],
              'nan': [np.nan, .4, .6, .6, 0], 'inf': [.4, .4, np.inf, .6, 0],
              'tiny': [.5, .5, .5 + 1e-20, .5 + 1e-20, 0]}


def published(name, confs, targets, priors):
    """The loss as one number, by the published interface of a formulation that matches boxes."""
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
    signature = ' '.join(str(p.replace(annotation=inspect.Parameter.empty))
                         for p in inspect.signature(system).parameters.values())
    assert signature.startswith(SIGNATURES[system])


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
    half = [.45, .5, .1, .2]  # its IoU with the object is about 0.5
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
