"""The loss of Deci-AI/super-gradients: every image is divided by its own positives."""
from typing import Any

from multibox.boxes.geometry import floating, iou_with_default_boxes, to_corners
from multibox.boxes.matching import match_forced_above as match
from multibox.boxes.offsets import offsets
from multibox.losses import terms
from multibox.losses.inputs import (
    as_array,
    as_prediction,
    at_least_0,
    check_labels,
    on_one_device,
    unpack,
    validate_inputs,
)
from multibox.losses.mining import hardest_with_positives
from multibox.losses.totals import CrossEntropy
from multibox.typing import Array, ArrayOrVariable, Communicator

import chainer
import chainer.functions as F
import numpy as np
from chainer.backends import cuda

EPSILON = 1e-9  # added to the union of two boxes; it decides between objects of equal IoU

__all__ = ['HardMiningCrossEntropyLoss', 'SSDLoss', 'match', 'multibox_loss', 'weigh']


def weigh(loc_loss: chainer.Variable, conf_loss: chainer.Variable,
          alpha: float = 1) -> chainer.Variable:
    """(2 - alpha) * loc + alpha * conf: alpha shifts the weight from one term to the other."""
    return (2 - alpha) * loc_loss + alpha * conf_loss


def multibox_loss(mb_locs: ArrayOrVariable, mb_confs: ArrayOrVariable,
                  gt_mb_locs: ArrayOrVariable, gt_mb_labels: ArrayOrVariable, k: float = 3,
                  comm: Communicator = None, count_twice: bool = True
                  ) -> tuple[chainer.Variable, chainer.Variable]:
    """The loss of :class:`SSDLoss` for matched boxes, before its weights.

    Args:
        mb_locs, mb_confs, gt_mb_locs, gt_mb_labels, k: as for :func:`multibox.multibox_loss`.
        comm: not used. If the processes have equal shares of a batch, the mean of their losses is
            the loss of the batch.
        count_twice: see :class:`HardMiningCrossEntropyLoss`.

    Returns:
        ``(loc_loss, conf_loss)``: two scalar Variables. The sum of each image is divided by its
        number of positives, and is 0 without positives. The result is the mean over all images.

    Raises:
        TypeError, ValueError: as :func:`multibox.multibox_loss`.
    """
    return _sums_and_means(mb_locs, mb_confs, gt_mb_locs, gt_mb_labels, k, count_twice)[1]


def _sums_and_means(mb_locs, mb_confs, gt_mb_locs, gt_mb_labels, k, count_twice):
    """For both terms: a (B,) Variable of sums per image, and the mean of sums over positives."""
    mb_locs, mb_confs, gt_mb_locs, gt_mb_labels, k = validate_inputs(
        mb_locs, mb_confs, gt_mb_locs, gt_mb_labels, k)
    with cuda.get_device_from_array(gt_mb_labels):
        positive = gt_mb_labels > 0
        loc_loss = terms.smooth_l1(mb_locs, gt_mb_locs, positive, axis=1)
        sums = loc_loss, _mined(mb_confs, gt_mb_labels, k, count_twice)
        n_positive = positive.sum(axis=1).clip(1, None)  # without a positive the sums are 0
        return sums, tuple(F.sum(loss / n_positive.astype(loss.dtype)) / max(1, len(positive))
                           for loss in sums)


def _mined(mb_confs, gt_mb_labels, neg_pos_ratio, count_twice):
    positive = gt_mb_labels > 0
    loss = CrossEntropy(mb_confs, gt_mb_labels)
    mined = hardest_with_positives(
        loss.array, positive, neg_pos_ratio, positive.shape[1], ignored=gt_mb_labels < 0)
    counted = positive.astype(np.int32) + mined if count_twice else positive | mined
    return loss.total(counted, axis=1)


class HardMiningCrossEntropyLoss:
    """Cross entropy of the positives and of the hardest boxes of each image.

    Args:
        neg_pos_ratio: boxes mined per positive of the same image.
        count_twice: True reproduces a defect of the original. It adds the masks of positives and
            of mined boxes, so a positive that is mined for lack of negatives counts twice. False
            counts it once.
    """

    def __init__(self, neg_pos_ratio: float, count_twice: bool = True):
        self.neg_pos_ratio = at_least_0('neg_pos_ratio', neg_pos_ratio)
        self.count_twice = count_twice

    def __call__(self, pred_labels: ArrayOrVariable,
                 target_labels: ArrayOrVariable) -> chainer.Variable:
        """(B, C, K) float logits and (B, K) int labels, 0 for background, to a (B,) Variable.

        Raises:
            TypeError: as :func:`multibox.multibox_loss`.
            ValueError: the shapes do not fit each other, or (on a CPU) a label is out of range.
        """
        on_one_device(pred_labels=pred_labels, target_labels=target_labels)
        pred_labels = as_prediction('pred_labels', pred_labels)
        labels = as_array('target_labels', target_labels).astype(np.int32)
        if len(pred_labels.shape) != 3 or labels.shape != (
                pred_labels.shape[0], pred_labels.shape[2]):
            raise ValueError('pred_labels must be (B, C, K) and target_labels (B, K), got '
                             f'{pred_labels.shape} and {labels.shape}')
        check_labels('target_labels', labels, pred_labels.shape[1])
        return _mined(F.transpose(pred_labels, (0, 2, 1)), labels, self.neg_pos_ratio,
                      self.count_twice)


class SSDLoss:
    """``training/losses/ssd_loss.py`` of super-gradients.

    Args:
        dboxes: (K, 4) float array (cx, cy, w, h); or an object that returns this array when called
            with ``order='xywh'``, and whose ``scale_xy`` and ``scale_wh`` are the variances.
        alpha: see :func:`weigh`.
        iou_thresh: boxes of a larger IoU are matched; the best box of an object always is.
        neg_pos_ratio, count_twice: see :class:`HardMiningCrossEntropyLoss`.
    """

    def __init__(self, dboxes: Any, alpha: float = 1.0, iou_thresh: float = 0.5,
                 neg_pos_ratio: float = 3.0, count_twice: bool = True):
        self.variance = getattr(dboxes, 'scale_xy', 0.1), getattr(dboxes, 'scale_wh', 0.2)
        boxes = dboxes(order='xywh') if callable(dboxes) else dboxes
        self.dboxes = floating(as_array('dboxes', boxes))
        if self.dboxes.ndim != 2 or self.dboxes.shape[1] != 4:
            raise ValueError(f'dboxes must be (K, 4): cx, cy, w, h; got {self.dboxes.shape}')
        self.alpha, self.iou_thresh = alpha, iou_thresh
        self.neg_pos_ratio = at_least_0('neg_pos_ratio', neg_pos_ratio)
        self.count_twice = count_twice

    def match_dboxes(self, targets: ArrayOrVariable) -> tuple[Array, Array]:
        """Match the objects of one image with the default boxes.

        Args:
            targets: (R, 6) float array: image, class from 0, cx, cy, w, h.

        Returns:
            ``(boxes, labels)``: (4, K) float array of the matched objects (cx, cy, w, h), and (K,)
            int32 array, 0 for background. A background box has its own default box in ``boxes``.
        """
        xp = cuda.get_array_module(self.dboxes)
        targets = as_array('targets', targets)
        with np.errstate(invalid='ignore'):  # inf - inf is not proper, so it matches nothing
            bbox = to_corners(targets[:, 2:])
        index = match(iou_with_default_boxes(self.dboxes, bbox, EPSILON), self.iou_thresh)
        matched = index >= 0
        boxes, labels = self.dboxes.copy(), xp.zeros(len(self.dboxes), np.int32)
        boxes[matched] = targets[index[matched], 2:]
        labels[matched] = targets[index[matched], 1].astype(np.int32) + 1
        return boxes.T, labels

    def __call__(self, predictions: tuple[ArrayOrVariable, ArrayOrVariable],
                 targets: ArrayOrVariable) -> tuple[chainer.Variable, chainer.Variable]:
        """Match, mine, weigh and normalise.

        Args:
            predictions: ``(locs, confs)``: (B, 4, K) float offsets (dx, dy, dw, dh) and (B, C, K)
                float logits.
            targets: (R, 6) float array of the whole batch: image, class from 0, cx, cy, w, h. An
                object without an area is left out.

        Returns:
            ``(loss, components)``: a scalar Variable; and a (3,) Variable without a graph, for a
            log. It holds the mean over images of the sums of smooth L1 and of cross entropy, not
            divided by positives, and the loss.

        Raises:
            TypeError: as :func:`multibox.multibox_loss`, or ``predictions`` is no pair.
            ValueError: wrong shapes; or (checked on a CPU only) an image or a class out of range.
        """
        locs, confs = unpack('predictions', predictions, ('locs', 'confs'))
        on_one_device(locs=locs, confs=confs, targets=targets, dboxes=self.dboxes)
        locs, confs = as_prediction('locs', locs), as_prediction('confs', confs)
        for name, prediction in ('locs', locs), ('confs', confs):
            if prediction.ndim != 3:
                raise ValueError(f'{name} must be (B, 4 or C, K), got {prediction.shape}')
        locs, confs = (F.transpose(prediction, (0, 2, 1)) for prediction in (locs, confs))
        targets = as_array('targets', targets)
        if targets.ndim != 2 or targets.shape[1] != 6:
            raise ValueError('targets must be (R, 6): image, label, cx, cy, w, h; '
                             f'got {targets.shape}')
        if isinstance(targets, np.ndarray) and len(targets):
            for name, values, last in (('image', targets[:, 0], locs.shape[0] - 1),
                                       ('class', targets[:, 1], confs.shape[2] - 2)):
                if not ((values >= 0) & (values <= last)).all():
                    raise ValueError(f'the {name} of each row of targets must lie in 0 to {last}')
        xp = cuda.get_array_module(self.dboxes)
        gt_locs = xp.zeros((len(locs), *self.dboxes.shape), self.dboxes.dtype)
        gt_labels = xp.zeros(gt_locs.shape[:2], np.int32)
        for i in range(len(locs)):
            boxes, gt_labels[i] = self.match_dboxes(targets[targets[:, 0] == i])
            gt_locs[i] = offsets(boxes.T, self.dboxes, self.variance)
        sums, means = _sums_and_means(locs, confs, gt_locs, gt_labels, self.neg_pos_ratio,
                                      self.count_twice)
        loc_loss, conf_loss = means
        loss = weigh(loc_loss, conf_loss, self.alpha)
        n = max(1, len(locs))
        components = xp.stack([*(each.array.sum() / n for each in sums), loss.array])
        return loss, chainer.Variable(components, requires_grad=False)
