"""The loss of sgrvinod's PyTorch tutorial on object detection: L1 instead of smooth L1."""
from multibox.boxes.matching import match_forced as match
from multibox.losses import terms
from multibox.losses.inputs import validate_inputs
from multibox.losses.mining import hard_negatives
from multibox.losses.normalizer import mean_count
from multibox.losses.terms import weigh
from multibox.losses.totals import CrossEntropy
from multibox.typing import ArrayOrVariable, Communicator

import chainer
from chainer.backends import cuda

__all__ = ['match', 'multibox_loss', 'weigh']


def multibox_loss(mb_locs: ArrayOrVariable, mb_confs: ArrayOrVariable,
                  gt_mb_locs: ArrayOrVariable, gt_mb_labels: ArrayOrVariable, k: float = 3,
                  comm: Communicator = None) -> tuple[chainer.Variable, chainer.Variable]:
    """``MultiBoxLoss`` of the tutorial (commit 5d5b759) for matched boxes.

    Args:
        mb_locs, mb_confs, gt_mb_locs, gt_mb_labels, k, comm: as for
            :func:`multibox.multibox_loss`.

    Returns:
        ``(loc_loss, conf_loss)``: two scalar Variables: the mean distance over the four offsets of
        all N positives, and the cross entropies divided by N. Localisation therefore weighs a
        quarter of its weight in the paper. Without positives both are 0, whereas the original gives
        nan.

    Raises:
        TypeError, ValueError: as :func:`multibox.multibox_loss`.
    """
    mb_locs, mb_confs, gt_mb_locs, gt_mb_labels, k = validate_inputs(
        mb_locs, mb_confs, gt_mb_locs, gt_mb_labels, k)
    with cuda.get_device_from_array(gt_mb_labels):
        positive = gt_mb_labels > 0
        conf_loss = CrossEntropy(mb_confs, gt_mb_labels)
        negative = hard_negatives(conf_loss.array, positive, k, ignored=gt_mb_labels < 0)
        loc_loss = terms.l1(mb_locs, gt_mb_locs, positive, axis=None)
        n = mean_count(positive, loc_loss.dtype, comm)
        conf_loss = conf_loss.total(positive | negative)
        return loc_loss / (4 * n), conf_loss / n.astype(conf_loss.dtype)
