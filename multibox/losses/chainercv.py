"""multibox_loss with the signature and the values of ChainerCV."""
from multibox.boxes.matching import match_bipartite as match
from multibox.losses import gpu, terms
from multibox.losses.inputs import validate_inputs
from multibox.losses.mining import hard_negatives
from multibox.losses.terms import weigh
from multibox.losses.totals import CrossEntropy
from multibox.typing import ArrayOrVariable, Communicator

import chainer
import numpy as np
from chainer.backends import cuda

__all__ = ['match', 'multibox_loss', 'weigh']


def multibox_loss(mb_locs: ArrayOrVariable, mb_confs: ArrayOrVariable,
                  gt_mb_locs: ArrayOrVariable, gt_mb_labels: ArrayOrVariable, k: float,
                  comm: Communicator = None) -> tuple[chainer.Variable, chainer.Variable]:
    """The loss of SSD: Eq. 2 and 3 of Liu et al., ECCV 2016, as ChainerCV 0.13 computes it.

    A box outside the loss has no effect: nan or infinity in its prediction or target leaves both
    losses and all gradients unchanged. Without any positive box both losses are 0 and stay
    connected to the predictions, whose gradients are exactly 0.

    Args:
        mb_locs: (B, K, 4) float16, float32 or float64, predicted offsets; array or Variable.
        mb_confs: (B, K, C) float, logits, column 0 is the background; array or Variable.
        gt_mb_locs: (B, K, 4) float, offsets of the matched objects; read at positive boxes only.
        gt_mb_labels: (B, K) int. 0 is background and 1 to C - 1 are classes. -1 ignores a box: it
            is neither positive nor negative.
        k: hard negatives per positive of the same image, >= 0; may be fractional, 3 in the paper.
            Infinity takes all negatives.
        comm: a ChainerMN communicator, or None. With a communicator the positives of all processes
            are counted. The mean over processes of the losses, and that of the gradients, then
            belong to the whole batch.

    Returns:
        ``(loc_loss, conf_loss)``: two scalar Variables, each divided by the number of positive
        boxes. float32, or float64 for float64 predictions. Differentiable once: a second derivative
        raises ``NotImplementedError``.

    Raises:
        TypeError: an argument is no array, predictions are no floats, arrays lie on a CPU and on a
            GPU, or ``k`` is no number.
        ValueError: wrong rank or shape, labels that are not integers, below -1 or not below C, or
            a negative ``k``. Labels on a GPU are checked in Chainer's debug mode only, because
            the host would have to wait for them.
    """
    mb_locs, mb_confs, gt_mb_locs, gt_mb_labels, k = validate_inputs(
        mb_locs, mb_confs, gt_mb_locs, gt_mb_labels, k)
    with cuda.get_device_from_array(gt_mb_labels):
        if (gpu.takes(mb_locs.array, mb_confs.array) and mb_locs.dtype == mb_confs.dtype
                and np.can_cast(gt_mb_locs.dtype, np.float32) and gt_mb_labels.size):
            return gpu.MultiboxLoss(gt_mb_locs, gt_mb_labels, k, comm).apply((mb_locs, mb_confs))
        positive = gt_mb_labels > 0
        conf_loss = CrossEntropy(mb_confs, gt_mb_labels)
        negative = hard_negatives(conf_loss.array, positive, k, ignored=gt_mb_labels < 0)
        return terms.mean_over_positives(
            mb_locs, conf_loss, gt_mb_locs, positive, positive | negative, comm)
