"""The loss of the book Dive into Deep Learning (d2l.ai, section 14.7): no mining at all."""
from multibox.boxes.matching import match_bipartite as match
from multibox.losses import terms
from multibox.losses.inputs import validate_inputs
from multibox.losses.rykov8 import weigh
from multibox.losses.totals import CrossEntropy
from multibox.typing import ArrayOrVariable, Communicator

import chainer
from chainer.backends import cuda

__all__ = ['match', 'multibox_loss', 'weigh']


def multibox_loss(mb_locs: ArrayOrVariable, mb_confs: ArrayOrVariable,
                  gt_mb_locs: ArrayOrVariable, gt_mb_labels: ArrayOrVariable, k: float = 3,
                  comm: Communicator = None) -> tuple[chainer.Variable, chainer.Variable]:
    """``calc_loss`` of the book for matched boxes.

    The book adds 1e-6 to the quotient of sizes in the offsets, which this package does not.

    Args:
        mb_locs, mb_confs, gt_mb_locs, gt_mb_labels: as for :func:`multibox.multibox_loss`.
        k, comm: not used. If the processes have equal shares of a batch, the mean of their losses
            is the loss of the batch.

    Returns:
        ``(loc_loss, conf_loss)``: two (B,) Variables, one loss per image: the distance over all 4 K
        offsets, 0 at boxes without an object, and the cross entropy over all K boxes, both as
        means. Boxes of the label -1 are left out.

    Raises:
        TypeError, ValueError: as :func:`multibox.multibox_loss`.
    """
    mb_locs, mb_confs, gt_mb_locs, gt_mb_labels, k = validate_inputs(
        mb_locs, mb_confs, gt_mb_locs, gt_mb_labels, k)
    with cuda.get_device_from_array(gt_mb_labels):
        positive, counted = gt_mb_labels > 0, gt_mb_labels >= 0
        n_box = counted.sum(axis=1).clip(1, None)
        loc_loss = terms.l1(mb_locs, gt_mb_locs, positive, axis=1)
        conf_loss = CrossEntropy(mb_confs, gt_mb_labels).total(counted, axis=1)
        return (loc_loss / (4 * n_box).astype(loc_loss.dtype),
                conf_loss / n_box.astype(conf_loss.dtype))
