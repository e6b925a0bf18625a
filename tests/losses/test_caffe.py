"""Caffe's loss against a slow loop over boxes, and against cases worked by hand."""
from multibox.losses import caffe

import chainer
import numpy as np
import pytest
from chainer.backends import cuda
from hypothesis import given, settings
from hypothesis import strategies as st


def slow_iou(a, b):
    width = max(0, min(a[2], b[2]) - max(a[0], b[0]))
    height = max(0, min(a[3], b[3]) - max(a[1], b[1]))
    area = [(x[2] - x[0]) * (x[3] - x[1]) for x in (a, b)]
    return width * height / (sum(area) - width * height)


def slow_match(corners, objects, overlap_threshold, neg_overlap):
    """Per box, the index of its object or None, and whether the box may become a negative."""
    overlap = {(i, j): slow_iou(box, row)
               for i, box in enumerate(corners) for j, row in enumerate(objects)}
    overlap = {pair: value for pair, value in overlap.items() if value > 1e-6}
    match = [None] * len(corners)
    left = dict(overlap)
    while left:
        i, j = max(left, key=left.get)
        match[i] = j
        left = {pair: value for pair, value in left.items() if pair[0] != i and pair[1] != j}
    eligible = []
    for i in range(len(corners)):
        ious = {j: overlap[i, j] for j in range(len(objects)) if (i, j) in overlap}
        best = max(ious, key=ious.get) if ious else None
        if match[i] is None and ious and ious[best] >= overlap_threshold:
            match[i] = best
        eligible.append(match[i] is None and max(ious.values(), default=0) < neg_overlap)
    return match, eligible


def slow_layer(locs, confs, priors, targets, overlap_threshold, neg_pos_ratio, neg_overlap,
               loc_weight, normalization):
    corners = [(x - w / 2, y - h / 2, x + w / 2, y + h / 2) for x, y, w, h in priors]
    loc_sum = conf_sum = n_match = 0
    for loc, conf, objects in zip(locs, confs, targets):
        if not len(objects):
            continue  # an image without objects has no negatives
        match, eligible = slow_match(corners, objects, overlap_threshold, neg_overlap)
        negatives, n_positive = [], 0
        for i, (j, logits) in enumerate(zip(match, conf)):
            label = 0 if j is None else int(objects[j][4]) + 1
            probability = np.exp(logits[label] - logits.max()) / np.exp(logits - logits.max()).sum()
            cross_entropy = -np.log(max(probability, np.finfo(np.float32).tiny))
            if eligible[i]:
                negatives.append(cross_entropy)
            if j is not None:
                n_positive += 1
                conf_sum += cross_entropy
                x, y, w, h = priors[i]
                x1, y1, x2, y2, _ = objects[j]
                target = (((x1 + x2) / 2 - x) / w / .1, ((y1 + y2) / 2 - y) / h / .1,
                          np.log((x2 - x1) / w) / .2, np.log((y2 - y1) / h) / .2)
                for d in np.abs(loc[i] - target):
                    loc_sum += d * d / 2 if d < 1 else d - .5
        n_negative = min(int(np.float32(neg_pos_ratio) * np.float32(n_positive)), len(negatives))
        conf_sum += sum(sorted(negatives, reverse=True)[:n_negative])
        n_match += n_positive
    B, K = len(targets), len(priors)
    n = max(1, {'VALID': n_match, 'BATCH_SIZE': B, 'FULL': B * K, 'NONE': 1}[normalization])
    return loc_weight * loc_sum / n, conf_sum / n


@settings(deadline=None, max_examples=150)
@given(B=st.integers(1, 3), K=st.integers(1, 25), C=st.integers(2, 5),
       scale=st.sampled_from([2, 90]), neg_overlap=st.sampled_from([.2, .5]),
       overlap_threshold=st.sampled_from([.3, .5]), neg_pos_ratio=st.sampled_from([.5, .7, 3]),
       loc_weight=st.sampled_from([1, 2.5]), normalization=st.sampled_from(caffe.NORMALIZATIONS),
       seed=st.integers(0, 2 ** 31))
def test_equals_the_layer_box_by_box(B, K, C, scale, neg_overlap, overlap_threshold, neg_pos_ratio,
                                     loc_weight, normalization, seed):
    rng = np.random.RandomState(seed)
    priors = np.hstack((rng.uniform(size=(K, 2)), rng.uniform(.1, .5, (K, 2))))
    targets = []
    for n in rng.randint(0, 5, B):
        corner = rng.uniform(0, .6, (n, 2))
        targets.append(np.hstack((corner, corner + rng.uniform(.1, .4, (n, 2)),
                                  rng.randint(0, C - 1, (n, 1)))))
    locs, confs = rng.normal(size=(B, K, 4)), rng.normal(size=(B, K, C), scale=scale)
    loss = caffe.MultiBoxLoss(C, overlap_threshold, neg_pos_ratio, neg_overlap, loc_weight,
                              normalization)
    terms = [term.array for term in loss((locs, confs, priors), targets)]
    np.testing.assert_allclose(terms, slow_layer(
        locs, confs, priors, targets, overlap_threshold, neg_pos_ratio, neg_overlap, loc_weight,
        normalization), rtol=1e-5)


# The IoU with the object of TARGETS is 1, 0.5, 0.25 and 0.
PRIORS = np.array([[.5, .5, .5, .5], [.375, .5, .25, .5], [.5, .5, .5, .125],
                   [.0625, .0625, .125, .125]], 'f')
TARGETS = [np.array([[.25, .25, .75, .75, 0]], 'f')]


def mined(xp, confs, **kwargs):
    """Indices of the boxes that get a gradient from the confidence term, in one image."""
    confs = chainer.Variable(xp.asarray(confs, 'f')[None])
    loss = caffe.MultiBoxLoss(confs.shape[2], **kwargs)
    targets = [xp.asarray(target) for target in TARGETS]
    _, loss_c = loss((xp.zeros((1, 4, 4), 'f'), confs, xp.asarray(PRIORS)), targets)
    loss_c.backward()
    return np.flatnonzero(cuda.to_cpu(confs.grad)[0].any(axis=1)).tolist()


def test_boxes_between_neg_overlap_and_the_threshold_are_ignored(xp):
    confs = np.zeros((4, 2))
    # Box 1 has an IoU of 0.5. It is background, but a negative only if neg_overlap is larger.
    assert mined(xp, confs, overlap_threshold=.6) == [0, 2, 3]
    assert mined(xp, confs, overlap_threshold=.6, neg_overlap=.6) == [0, 1, 2, 3]
    assert mined(xp, confs, overlap_threshold=.6, neg_overlap=.2) == [0, 3]


@pytest.mark.parametrize('ratio, n', [(.9, 0), (1, 1), (1.9, 1), (2, 2)])
def test_a_fraction_of_negatives_is_rounded_down(xp, ratio, n):
    boxes = mined(xp, np.zeros((4, 2)), overlap_threshold=.6, neg_overlap=.6, neg_pos_ratio=ratio)
    assert len(boxes) == 1 + n


def test_an_image_without_objects_gives_no_negatives(xp):
    confs = chainer.Variable(xp.ones((2, 4, 2), 'f'))
    targets = [xp.asarray(TARGETS[0]), xp.zeros((0, 5), 'f')]
    _, loss_c = caffe.MultiBoxLoss(2)(
        (xp.zeros((2, 4, 4), 'f'), confs, xp.asarray(PRIORS)), targets)
    loss_c.backward()
    assert confs.grad[0].any() and not confs.grad[1].any()


@pytest.mark.parametrize('normalization, n', [
    ('VALID', 2), ('BATCH_SIZE', 1), ('FULL', 4), ('NONE', 1)])
def test_each_normalisation_by_hand(xp, normalization, n):
    loss = caffe.MultiBoxLoss(2, normalization=normalization, loc_weight=3)
    targets = [xp.asarray(TARGETS[0])]
    loss_l, loss_c = loss(
        (xp.zeros((1, 4, 4), 'f'), xp.zeros((1, 4, 2), 'f'), xp.asarray(PRIORS)), targets)
    # Box 0 fits. Box 1 is off by half of its width, and half as wide as the object.
    np.testing.assert_allclose(float(loss_l.array), 3 * (4.5 + np.log(2) / .2 - .5) / n,
                               rtol=1e-5)
    np.testing.assert_allclose(float(loss_c.array), 4 * np.log(2) / n, rtol=1e-6)


def test_a_cross_entropy_stops_at_the_smallest_float_but_not_its_gradient(xp):
    confs = chainer.Variable(xp.asarray([[[500, 0], [0, 0]]], 'f'))
    zeros = xp.zeros((1, 2, 4), 'f')
    _, conf_loss = caffe.multibox_loss(zeros, confs, zeros, xp.asarray([[1, 0]], 'i'), k=0)
    conf_loss.backward()
    np.testing.assert_allclose(float(conf_loss.array), 87.3365, rtol=1e-5)
    np.testing.assert_allclose(cuda.to_cpu(confs.grad[0, 0]), [1, -1], rtol=1e-6)


@pytest.mark.parametrize('logits', [[-np.inf, 0], [-3e38, 3e38], [0, 500]], ids=str)
def test_a_probability_of_zero_counts_as_the_smallest_float(xp, logits):
    confs = xp.asarray([[logits[::-1], logits, [0, 1]]], 'f')  # a positive, two negatives
    zeros = xp.zeros((1, 3, 4), 'f')
    _, conf_loss = caffe.multibox_loss(zeros, confs, zeros, xp.asarray([[1, 0, 0]], 'i'), k=1)
    np.testing.assert_allclose(float(conf_loss.array), 2 * 87.33655, rtol=1e-6)


def test_boxes_above_the_highest_cross_entropy_are_mined_by_index(xp):
    confs = chainer.Variable(xp.asarray([[[0, 1], [0, 100], [0, 900]]], 'f'))
    zeros = xp.zeros((1, 3, 4), 'f')
    _, conf_loss = caffe.multibox_loss(zeros, confs, zeros, xp.asarray([[1, 0, 0]], 'i'), k=1)
    conf_loss.backward()
    assert confs.grad.any(axis=2).tolist() == [[True, True, False]]


def test_negatives_are_counted_in_single_precision(xp):
    zeros, labels = xp.zeros((1, 40, 4), 'f'), (xp.arange(40)[None] < 10).astype('i')
    confs = chainer.Variable(xp.zeros((1, 40, 2), 'f'))
    # The product of 10 and the float32 nearest to 0.7 is 6.99... in double precision.
    _, conf_loss = caffe.multibox_loss(zeros, confs, zeros, labels, k=.7)
    conf_loss.backward()
    assert int(confs.grad.any(axis=2).sum()) == 10 + 7


def test_an_unknown_normalisation_is_named():
    with pytest.raises(ValueError, match='VALID, BATCH_SIZE, FULL, NONE, got MEAN'):
        caffe.MultiBoxLoss(2, normalization='MEAN')(
            (np.zeros((1, 4, 4)), np.zeros((1, 4, 2)), PRIORS), TARGETS)
