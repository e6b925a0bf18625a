"""The loss of rykov8/ssd_keras: every image of a batch gives the same number of negatives."""
from multibox.boxes.matching import match_above_or_best as match
from multibox.losses import terms
from multibox.losses.inputs import validate_inputs
from multibox.losses.mining import hardest, quota
from multibox.losses.probabilities import LogLoss
from multibox.processes import as_processes
from multibox.typing import ArrayOrVariable, Communicator

import chainer
import chainer.functions as F
import numpy as np
from chainer.backends import cuda

__all__ = ['match', 'multibox_loss', 'weigh']

N_WITHOUT_POSITIVES = 100  # negatives of each image if no image has positives


def weigh(loc_loss: chainer.Variable, conf_loss: chainer.Variable,
          alpha: float = 1) -> chainer.Variable:
    """The mean over images of conf + alpha * loc, as Keras averages; 0 without images."""
    loss = terms.weigh(loc_loss, conf_loss, alpha)
    return F.sum(loss) / max(1, loss.size)


def multibox_loss(mb_locs: ArrayOrVariable, mb_confs: ArrayOrVariable,
                  gt_mb_locs: ArrayOrVariable, gt_mb_labels: ArrayOrVariable, k: float = 3,
                  comm: Communicator = None) -> tuple[chainer.Variable, chainer.Variable]:
    """``MultiboxLoss`` of rykov8's ssd_keras (commit a560b91) for logits and matched boxes.

    Per image, the boxes to mine are min(k n, K - n) for n positives. The least such number above 0
    is taken in all images, or 100 if there is none, whereas the original fails with fewer than 100
    boxes. Negatives are ranked by their highest probability of an object.

    Args:
        mb_locs, mb_confs, gt_mb_locs, gt_mb_labels, k: as for :func:`multibox.multibox_loss`. The
            logits pass through a softmax first, because the original reads probabilities.
        comm: a ChainerMN communicator, or None. The number of negatives is that of all processes,
            which need equal shares of the batch.

    Returns:
        ``(loc_loss, conf_loss)``: two (B,) Variables, one loss per image: smooth L1 divided by
        max(1, n), and cross entropy divided by the n positives and the negatives together.

    Raises:
        TypeError, ValueError: as :func:`multibox.multibox_loss`.
    """
    mb_locs, mb_confs, gt_mb_locs, gt_mb_labels, k = validate_inputs(
        mb_locs, mb_confs, gt_mb_locs, gt_mb_labels, k)
    xp = cuda.get_array_module(gt_mb_labels)
    with cuda.get_device_from_array(gt_mb_labels):
        positive = gt_mb_labels > 0
        n_positive = positive.sum(axis=1)
        n_negative = _n_negative(gt_mb_labels, quota(positive, k), comm)
        conf_loss = LogLoss(mb_confs, gt_mb_labels)
        highest = conf_loss.probability[..., 1:].max(axis=2)
        counted = positive | hardest(highest, gt_mb_labels == 0,
                                     xp.broadcast_to(n_negative, n_positive.shape))
        loc_loss = terms.smooth_l1(mb_locs, gt_mb_locs, positive, axis=1)
        conf_loss = conf_loss.total(counted, axis=1)
        return (loc_loss / n_positive.clip(1, None).astype(loc_loss.dtype),
                conf_loss / (n_positive + n_negative).astype(conf_loss.dtype))


def _n_negative(labels, wanted, comm):
    """0-dimensional array of the number of negatives of each image."""
    xp = cuda.get_array_module(labels)
    n = xp.minimum(wanted, (labels == 0).sum(axis=1))
    least = xp.where(n > 0, n, np.inf).min() if len(n) else xp.asarray(np.inf)
    least = -as_processes(comm).max(-least)
    return xp.floor(xp.where(xp.isfinite(least), least,
                             min(N_WITHOUT_POSITIVES, labels.shape[1]))).clip(1, None)
