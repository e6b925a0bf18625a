"""The loss of the TensorFlow Object Detection API: sigmoids, and mining without near duplicates."""
import functools

from multibox.boxes.duplicates import distinct
from multibox.boxes.geometry import floating
from multibox.boxes.matching import match_forced_first as match
from multibox.boxes.offsets import decode
from multibox.engines.once import Once
from multibox.engines.threads import in_threads
from multibox.losses import terms
from multibox.losses.blocks import IGNORED, all_rows, row_sums
from multibox.losses.cross_entropy import in_single_precision, softmax_cross_entropy
from multibox.losses.inputs import as_array, at_least_0, validate_inputs
from multibox.losses.normalizer import mean_count
from multibox.losses.terms import weigh
from multibox.losses.totals import total
from multibox.typing import ArrayOrVariable, Communicator

import chainer
import chainer.functions as F
import numpy as np
from chainer.backends import cuda

__all__ = ['match', 'multibox_loss', 'weigh']

CONF_LOSSES = 'sigmoid', 'softmax'
N_HARD_EXAMPLES = 3000  # of ssd_mobilenet_v1_coco.config


def multibox_loss(mb_locs: ArrayOrVariable, mb_confs: ArrayOrVariable,
                  gt_mb_locs: ArrayOrVariable, gt_mb_labels: ArrayOrVariable, k: float = 3,
                  comm: Communicator = None, priors: ArrayOrVariable | None = None,
                  conf_loss: str = 'sigmoid', iou_threshold: float = 0.99
                  ) -> tuple[chainer.Variable, chainer.Variable]:
    """``HardExampleMiner`` and its losses in ``core/losses.py`` (April 2019) for matched boxes.

    Per image, the boxes are sorted by falling confidence loss, positives among them. A predicted
    box whose IoU with an earlier kept one exceeds ``iou_threshold`` is dropped, and at most 3000
    are kept. The kept positives and the first k times as many kept negatives enter the loss.

    The mining runs on the host, so a GPU is waited for.

    Args:
        mb_locs, mb_confs, gt_mb_locs, gt_mb_labels, k, comm: as for
            :func:`multibox.multibox_loss`; k times the positives is rounded down.
        priors: (K, 4) float array of default boxes (centre, then size), in the order of the
            offsets. None drops no box, because predicted boxes are then unknown.
        conf_loss: ``'sigmoid'`` sums over all C logits, the background among them, the sigmoid
            cross entropy against the one-hot label; ``'softmax'`` is softmax cross entropy.
        iou_threshold: see above; 1 drops nothing, and keeps any number of boxes.

    Returns:
        ``(loc_loss, conf_loss)``: two scalar Variables, each divided by the positives of the batch
        before any box is dropped. Without positives both are 0.

    Raises:
        TypeError, ValueError: as :func:`multibox.multibox_loss`, an unknown ``conf_loss``, an
            ``iou_threshold`` that is not from 0 to 1, or ``priors`` of another shape.
    """
    mb_locs, mb_confs, gt_mb_locs, gt_mb_labels, k = validate_inputs(
        mb_locs, mb_confs, gt_mb_locs, gt_mb_labels, k)
    priors, iou_threshold = _validate(priors, conf_loss, iou_threshold, mb_locs.shape)
    losses = _sigmoid_cross_entropy if conf_loss == 'sigmoid' else softmax_cross_entropy
    xp = cuda.get_array_module(gt_mb_labels)
    with cuda.get_device_from_array(gt_mb_labels):
        mb_confs, = Once('the loss of tf_od').apply((in_single_precision(mb_confs),))
        positive = gt_mb_labels > 0
        if conf_loss == 'sigmoid' and xp is np:
            ranking = _sigmoid_losses(mb_confs.array, gt_mb_labels)
        else:
            with chainer.no_backprop_mode():
                ranking = losses(mb_confs.array, gt_mb_labels).array
        predicted = None if iou_threshold == 1 or priors is None else cuda.to_cpu(mb_locs.array)
        mined = xp.asarray(_mine(cuda.to_cpu(ranking), cuda.to_cpu(gt_mb_labels), k, predicted,
                                 priors, iou_threshold))
        loc_loss = terms.smooth_l1(mb_locs, gt_mb_locs, positive & mined, axis=None)
        n = mean_count(positive, loc_loss.dtype, comm)
        if xp is np:  # few boxes are mined
            conf = F.sum(losses(mb_confs[mined], gt_mb_labels[mined]))
        else:
            logits = F.where(mined[..., None], mb_confs, xp.zeros_like(mb_confs.array))
            conf = total(losses(logits, gt_mb_labels), mined)
        return loc_loss / n, conf / n.astype(conf.dtype)


def _sigmoid_cross_entropy(logits, labels):
    """(...) Variable of (..., C) logits: the sum over classes; 0 for the label -1."""
    xp = cuda.get_array_module(labels)
    one_hot = (labels[..., None] == xp.arange(logits.shape[-1])).astype(np.int32)
    one_hot = xp.where(labels[..., None] < 0, -1, one_hot)
    with np.errstate(invalid='ignore', over='ignore'):
        return F.sum(F.sigmoid_cross_entropy(logits, one_hot, reduce='no'), axis=-1)


def _sigmoid_losses(logits, labels):
    """The values of :func:`_sigmoid_cross_entropy` on a CPU, in blocks that fit the cache."""
    n_class = logits.shape[2]
    logits, label = logits.reshape(-1, n_class), labels.reshape(-1)
    losses = np.empty(len(logits), logits.dtype)

    def compute(rows):
        x, at = logits[rows], (np.arange(rows.stop - rows.start), label[rows])
        with np.errstate(**IGNORED):
            loss = np.abs(x)  # log(1 + exp(x)) is max(x, 0) + log(1 + exp(-|x|))
            np.log1p(np.exp(np.negative(loss, out=loss), out=loss), out=loss)
            linear = np.maximum(x, 0)
            linear[at] = np.maximum(-x[at], 0)  # the label has log(1 + exp(-x))
            loss += linear
            losses[rows] = row_sums(loss)

    in_threads(compute, all_rows(len(logits), n_class), logits.size)
    losses[label < 0] = 0
    return losses.reshape(labels.shape)


def _mine(ranking, labels, k, predicted, priors, iou_threshold):
    """(B, K) bool array of the positives and negatives in the loss."""
    mined = np.zeros(labels.shape, bool)
    ranking = np.where(np.isfinite(ranking), ranking, np.finfo(ranking.dtype).min)
    for i, (loss, label) in enumerate(zip(ranking, labels)):
        order = np.argsort(-loss, kind='stable')
        order = order[label[order] >= 0]
        if predicted is not None:
            bbox_at = functools.partial(_decode_some, predicted[i], priors)
            order = _first_distinct(bbox_at, order, iou_threshold)
        is_positive = label[order] > 0
        n_negative = int(min(k * int(is_positive.sum()), len(label)))
        mined[i, order[is_positive]] = True
        mined[i, order[~is_positive][:n_negative]] = True
    return mined


def _decode_some(mb_loc, priors, index):
    with np.errstate(**IGNORED):
        return decode(floating(mb_loc[index]), floating(priors[index]))


def _first_distinct(bbox_at, order, iou_threshold):
    """The first boxes of an order that do not nearly coincide with an earlier one."""
    n = N_HARD_EXAMPLES
    while True:
        n += n // 4  # some more, as some drop out; boxes behind these drop none of them
        first = order[:n]
        kept = first[distinct(bbox_at(first), np.arange(len(first)), iou_threshold)]
        if len(kept) >= N_HARD_EXAMPLES or n >= len(order):
            return kept[:N_HARD_EXAMPLES]


def _validate(priors, conf_loss, iou_threshold, shape):
    if conf_loss not in CONF_LOSSES:
        raise ValueError(f'conf_loss must be one of {", ".join(CONF_LOSSES)}, got {conf_loss!r}')
    iou_threshold = at_least_0('iou_threshold', iou_threshold)
    if iou_threshold > 1:
        raise ValueError(f'iou_threshold must be from 0 to 1, got {iou_threshold}')
    priors = None if priors is None else cuda.to_cpu(as_array('priors', priors))
    if priors is not None and priors.dtype.kind not in 'fiu':
        raise ValueError(f'priors must be numbers, got {priors.dtype}')
    if priors is not None and priors.shape != shape[1:]:
        raise ValueError(f'priors must be {shape[1:]}, the default boxes of the predictions, got '
                         f'{priors.shape}')
    return priors, iou_threshold
