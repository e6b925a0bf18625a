"""The loss of sgrvinod's PyTorch tutorial on object detection: L1 instead of smooth L1."""
from multibox.boxes.matching import match_forced as match
from multibox.losses import terms
from multibox.losses.cross_entropy import softmax_cross_entropy
from multibox.losses.mining import hard_negatives
from multibox.losses.normalizer import mean_count
from multibox.losses.terms import weigh
from multibox.typing import ArrayOrVariable, Communicator

import chainer
import chainer.functions as F
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
        ValueError: as :func:`multibox.multibox_loss`.
    """
    mb_locs, mb_confs, gt_mb_locs, gt_mb_labels = terms.validate_inputs(
        mb_locs, mb_confs, gt_mb_locs, gt_mb_labels, k)
    with cuda.get_device_from_array(gt_mb_labels):
        positive = gt_mb_labels > 0
        conf_loss = softmax_cross_entropy(mb_confs, gt_mb_labels)
        negative = hard_negatives(conf_loss.array, positive, k, ignored=gt_mb_labels < 0)
        loc_loss = terms.l1(mb_locs, gt_mb_locs, positive)
        n = mean_count(positive, loc_loss.dtype, comm)
        return (F.sum(loc_loss) / (4 * n),
                terms.total(conf_loss, positive | negative) / n.astype(conf_loss.dtype))
