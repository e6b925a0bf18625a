"""The loss of amdegroot/ssd.pytorch: forced matches, and a ranking with one maximum per batch."""
from functools import partial

from multibox.boxes.matching import match_forced as match
from multibox.losses import terms
from multibox.losses.inputs import at_least_0, validate_inputs
from multibox.losses.matching_loss import MatchingLoss
from multibox.losses.mining import hardest_with_positives
from multibox.losses.terms import weigh
from multibox.losses.totals import CrossEntropy
from multibox.processes import as_processes
from multibox.typing import ArrayOrVariable, Communicator

import chainer
import numpy as np
from chainer.backends import cuda

__all__ = ['MultiBoxLoss', 'match', 'multibox_loss', 'weigh']


def multibox_loss(mb_locs: ArrayOrVariable, mb_confs: ArrayOrVariable,
                  gt_mb_locs: ArrayOrVariable, gt_mb_labels: ArrayOrVariable, k: float = 3,
                  comm: Communicator = None, global_maximum: bool = True
                  ) -> tuple[chainer.Variable, chainer.Variable]:
    """The loss of :class:`MultiBoxLoss` for matched boxes.

    At most K - 1 boxes per image are mined, and positives compete with a loss of 0.

    Args:
        mb_locs, mb_confs, gt_mb_locs, gt_mb_labels, k, comm: as for
            :func:`multibox.multibox_loss`.
        global_maximum: True reproduces a defect of the original. It ranks boxes by a log-sum-exp
            that subtracts one maximum from all logits of the batch. A box whose logits lie about
            104 below this maximum underflows to -inf and is mined last, even after positives.
            False ranks by cross entropy.

    Returns:
        ``(loc_loss, conf_loss)``: two scalar Variables, each divided by the positives of the batch.
        Without positives both are 0, whereas the original gives nan.

    Raises:
        TypeError, ValueError: as :func:`multibox.multibox_loss`.
    """
    mb_locs, mb_confs, gt_mb_locs, gt_mb_labels, k = validate_inputs(
        mb_locs, mb_confs, gt_mb_locs, gt_mb_labels, k)
    with cuda.get_device_from_array(gt_mb_labels):
        positive = gt_mb_labels > 0
        conf_loss = CrossEntropy(mb_confs, gt_mb_labels)
        ranking = _with_one_maximum(mb_confs.array, comm) if global_maximum else conf_loss.array
        mined = hardest_with_positives(
            ranking, positive, k, positive.shape[1] - 1, ignored=gt_mb_labels < 0)
        return terms.mean_over_positives(
            mb_locs, conf_loss, gt_mb_locs, positive, positive | mined, comm)


def _with_one_maximum(mb_confs, comm):
    """(B, K) cross entropy of background for (B, K, C) logits; see ``global_maximum``."""
    xp = cuda.get_array_module(mb_confs)
    mb_confs = mb_confs.astype(np.result_type(mb_confs.dtype, np.float32), copy=False)
    finite = xp.where(xp.isfinite(mb_confs), mb_confs, -xp.inf)
    maximum = finite.max() if finite.size else xp.asarray(-xp.inf, finite.dtype)
    maximum = as_processes(comm).max(maximum)
    with np.errstate(divide='ignore', invalid='ignore', over='ignore'):
        sums = xp.exp(mb_confs - maximum).sum(axis=2)
        return xp.log(sums) + maximum - mb_confs[:, :, 0]


class MultiBoxLoss(MatchingLoss):
    """``layers/modules/multibox_loss.py`` of ssd.pytorch, without its unused arguments.

    Args:
        num_classes: C, with the background.
        overlap_thresh: IoU from which a box is matched; the best box of an object always is.
        neg_pos: hard negatives per positive of the same image.
        variance: divisors of the offsets of centre and size.
        global_maximum: see :func:`multibox_loss`.
    """

    def __init__(self, num_classes: int, overlap_thresh: float = 0.5, neg_pos: float = 3,
                 variance: tuple = (0.1, 0.2), global_maximum: bool = True):
        super().__init__(partial(match, threshold=overlap_thresh),
                         partial(multibox_loss, k=at_least_0('neg_pos', neg_pos),
                                 global_maximum=global_maximum),
                         num_classes, variance)
