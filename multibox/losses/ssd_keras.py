"""The loss of pierluigiferrari/ssd_keras: on probabilities, mined from the whole batch."""
from multibox.boxes.matching import match_bipartite as match
from multibox.engines.once import Once
from multibox.losses import terms
from multibox.losses.cross_entropy import in_single_precision
from multibox.losses.inputs import (
    as_array,
    as_prediction,
    at_least_0,
    on_one_device,
    validate_inputs,
)
from multibox.losses.mining import hard_negatives_of_batch
from multibox.losses.normalizer import mean_count
from multibox.losses.probabilities import LogLoss, floored_log, log_loss, of_label
from multibox.losses.terms import weigh
from multibox.losses.totals import total
from multibox.typing import ArrayOrVariable, Communicator

import chainer
import numpy as np
from chainer.backends import cuda

__all__ = ['SSDLoss', 'match', 'multibox_loss', 'weigh']


def multibox_loss(mb_locs: ArrayOrVariable, mb_confs: ArrayOrVariable,
                  gt_mb_locs: ArrayOrVariable, gt_mb_labels: ArrayOrVariable, k: float = 3,
                  comm: Communicator = None) -> tuple[chainer.Variable, chainer.Variable]:
    """The loss of :class:`SSDLoss` for logits of any network and matched objects.

    Args:
        mb_locs, mb_confs, gt_mb_locs, gt_mb_labels, k: as for :func:`multibox.multibox_loss`. The
            logits pass through a softmax first, because the original reads probabilities.
        comm: a ChainerMN communicator, or None. Positives are counted and negatives ranked over
            all processes.

    Returns:
        ``(loc_loss, conf_loss)``: two scalar Variables, each divided by the positives of the batch.

    Raises:
        TypeError, ValueError: as :func:`multibox.multibox_loss`.
    """
    mb_locs, mb_confs, gt_mb_locs, gt_mb_labels, k = validate_inputs(
        mb_locs, mb_confs, gt_mb_locs, gt_mb_labels, k)
    with cuda.get_device_from_array(gt_mb_labels):
        conf_loss = LogLoss(mb_confs, gt_mb_labels)
        counted = _counted(conf_loss.array, gt_mb_labels, k, comm=comm)
        return terms.mean_over_positives(
            mb_locs, conf_loss, gt_mb_locs, gt_mb_labels > 0, counted, comm)


def _counted(losses, gt_mb_labels, k, n_neg_min=0, comm=None):
    """(B, K) bool array of the boxes in the confidence term."""
    positive = gt_mb_labels > 0
    return positive | hard_negatives_of_batch(
        losses, positive, k, n_neg_min, ignored=gt_mb_labels < 0, comm=comm)


class SSDLoss:
    """``keras_loss_function/keras_ssd_loss.py`` of ssd_keras.

    Args:
        neg_pos_ratio: hard negatives per positive of the batch.
        n_neg_min: the least number of negatives mined per batch, even without positives.
        alpha: weight of the localisation loss.
    """

    def __init__(self, neg_pos_ratio: float = 3, n_neg_min: int = 0, alpha: float = 1.0):
        self.neg_pos_ratio = at_least_0('neg_pos_ratio', neg_pos_ratio)
        self.n_neg_min, self.alpha = at_least_0('n_neg_min', n_neg_min), alpha

    def compute_loss(self, y_true: ArrayOrVariable, y_pred: ArrayOrVariable) -> chainer.Variable:
        """Mine, weigh and normalise; the matching is done by the caller.

        Args:
            y_true: (B, K, C + 12) float array: the one-hot class, or only zeros to ignore the box;
                4 offsets; 8 numbers that are not read.
            y_pred: (B, K, C + 12) float array or Variable: C probabilities up to 1, 4 offsets, 8
                numbers that are not read.

        Returns:
            (B,) Variable: the loss of each image, divided by the positives of the batch (by 1 if
            there is none) and multiplied by B, because Keras averages over images.

        Raises:
            TypeError: as :func:`multibox.multibox_loss`.
            ValueError: the shapes differ, the last axis holds fewer than two classes, or (checked
                on a CPU only) a class is not one-hot, as with smoothed labels.
        """
        on_one_device(y_true=y_true, y_pred=y_pred)
        y_true, y_pred = as_array('y_true', y_true), as_prediction('y_pred', y_pred)
        if y_true.shape != y_pred.shape or y_pred.ndim != 3 or y_pred.shape[2] < 14:
            raise ValueError('y_true and y_pred must have one shape (B, K, C + 12) with C >= 2, '
                             f'got {y_true.shape} and {y_pred.shape}')
        xp = cuda.get_array_module(y_true)
        one_hot = y_true[..., :-12]
        if xp is np and not ((one_hot == 0) | (one_hot == 1)).all():
            raise ValueError('y_true must be one-hot, or all 0, in its first C columns')
        labels = xp.where(one_hot.any(axis=2), one_hot.argmax(axis=2), -1)
        mb_locs, probability, gt_mb_locs, labels, _ = validate_inputs(
            y_pred[..., -12:-8], y_pred[..., :-12], y_true[..., -12:-8], labels, self.neg_pos_ratio)
        positive = labels > 0
        probability, = Once('the loss of ssd_keras').apply((in_single_precision(probability),))
        counted = _counted(floored_log(of_label(probability.array, labels)), labels,
                           self.neg_pos_ratio, self.n_neg_min)
        loc_loss = terms.smooth_l1(mb_locs, gt_mb_locs, positive, axis=1)
        conf_loss = total(log_loss(probability, labels, counted), counted, axis=1)
        n_positive = mean_count(positive, loc_loss.dtype)
        return weigh(loc_loss, conf_loss, self.alpha) * (len(labels) / n_positive)
