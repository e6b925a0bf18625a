"""The loss of open-mmlab/mmdetection: an image without objects counts as one positive."""
from multibox.boxes.matching import match_forced as match
from multibox.losses import terms
from multibox.losses.inputs import validate_inputs
from multibox.losses.mining import hard_negatives
from multibox.losses.totals import CrossEntropy
from multibox.processes import as_processes
from multibox.typing import ArrayOrVariable, Communicator

import chainer
import chainer.functions as F
import numpy as np
from chainer.backends import cuda

__all__ = ['match', 'multibox_loss', 'weigh']

EPSILON = np.finfo(np.float32).eps  # added to the divisor of the localisation loss


def weigh(loc_loss: chainer.Variable, conf_loss: chainer.Variable,
          alpha: float = 1) -> chainer.Variable:
    """The sum over images of conf + alpha * loc."""
    return F.sum(terms.weigh(loc_loss, conf_loss, alpha))


def multibox_loss(mb_locs: ArrayOrVariable, mb_confs: ArrayOrVariable,
                  gt_mb_locs: ArrayOrVariable, gt_mb_labels: ArrayOrVariable, k: float = 3,
                  comm: Communicator = None) -> tuple[chainer.Variable, chainer.Variable]:
    """``SSDHead.loss_by_feat`` of mmdetection (3.3.0) for matched boxes.

    Args:
        mb_locs, mb_confs, gt_mb_locs, gt_mb_labels, k, comm: as for
            :func:`multibox.multibox_loss`.

    Returns:
        ``(loc_loss, conf_loss)``: two (B,) Variables, one loss per image. All images have the same
        divisor, the sum over the batch of max(1, positives of the image).

    Raises:
        TypeError, ValueError: as :func:`multibox.multibox_loss`.
    """
    mb_locs, mb_confs, gt_mb_locs, gt_mb_labels, k = validate_inputs(
        mb_locs, mb_confs, gt_mb_locs, gt_mb_labels, k)
    xp = cuda.get_array_module(gt_mb_labels)
    with cuda.get_device_from_array(gt_mb_labels):
        positive = gt_mb_labels > 0
        conf_loss = CrossEntropy(mb_confs, gt_mb_labels)
        negative = hard_negatives(conf_loss.array, positive, k, ignored=gt_mb_labels < 0)
        loc_loss = terms.smooth_l1(mb_locs, gt_mb_locs, positive, axis=1)
        conf_loss = conf_loss.total(positive | negative, axis=1)
        n = as_processes(comm).mean(xp.asarray(positive.sum(axis=1).clip(1, None).sum()))
        return (loc_loss / (n + EPSILON).astype(loc_loss.dtype),
                conf_loss / n.astype(conf_loss.dtype))
