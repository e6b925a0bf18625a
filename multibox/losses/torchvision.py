"""The loss of torchvision's SSD: mining does not stop at the last negative."""
from multibox.boxes.matching import match_forced as match
from multibox.losses import terms
from multibox.losses.inputs import validate_inputs
from multibox.losses.mining import hardest_with_positives
from multibox.losses.terms import weigh
from multibox.losses.totals import CrossEntropy
from multibox.typing import ArrayOrVariable, Communicator

import chainer
import numpy as np
from chainer.backends import cuda

__all__ = ['match', 'multibox_loss', 'weigh']


def multibox_loss(mb_locs: ArrayOrVariable, mb_confs: ArrayOrVariable,
                  gt_mb_locs: ArrayOrVariable, gt_mb_labels: ArrayOrVariable, k: float = 3,
                  comm: Communicator = None, count_twice: bool = True
                  ) -> tuple[chainer.Variable, chainer.Variable]:
    """``SSD.compute_loss`` of torchvision (0.29.1) for matched boxes.

    Args:
        mb_locs, mb_confs, gt_mb_locs, gt_mb_labels, k, comm: as for
            :func:`multibox.multibox_loss`.
        count_twice: True reproduces a defect of the original. Where k times the positives exceed
            the negatives of an image, its positives are mined as well, and count twice. The
            original leaves open which of them; this function takes those of the lowest indices.
            False counts every box once.

    Returns:
        ``(loc_loss, conf_loss)``: two scalar Variables, each divided by the positives of the batch,
        0 without positives.

    Raises:
        TypeError, ValueError: as :func:`multibox.multibox_loss`.
    """
    mb_locs, mb_confs, gt_mb_locs, gt_mb_labels, k = validate_inputs(
        mb_locs, mb_confs, gt_mb_locs, gt_mb_labels, k)
    with cuda.get_device_from_array(gt_mb_labels):
        positive = gt_mb_labels > 0
        conf_loss = CrossEntropy(mb_confs, gt_mb_labels)
        mined = hardest_with_positives(conf_loss.array, positive, k, positive.shape[1],
                                       gt_mb_labels < 0, loss_of_positives=-np.inf)
        counted = positive.astype(np.int32) + mined if count_twice else positive | mined
        return terms.mean_over_positives(
            mb_locs, conf_loss, gt_mb_locs, positive, counted, comm)
