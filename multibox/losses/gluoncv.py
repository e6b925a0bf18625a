"""The loss of dmlc/gluon-cv: every image may have a least number of negatives."""
from multibox.boxes.matching import match_bipartite as match
from multibox.losses import terms
from multibox.losses.inputs import at_least_0, validate_inputs
from multibox.losses.mining import hardest, quota
from multibox.losses.mmdet import weigh
from multibox.losses.normalizer import mean_count
from multibox.losses.totals import CrossEntropy
from multibox.typing import ArrayOrVariable, Communicator

import chainer
from chainer.backends import cuda

__all__ = ['match', 'multibox_loss', 'weigh']


def multibox_loss(mb_locs: ArrayOrVariable, mb_confs: ArrayOrVariable,
                  gt_mb_locs: ArrayOrVariable, gt_mb_labels: ArrayOrVariable, k: float = 3,
                  comm: Communicator = None, min_hard_negatives: int = 0
                  ) -> tuple[chainer.Variable, chainer.Variable]:
    """``SSDMultiBoxLoss`` of GluonCV (commit 5677756) for matched boxes.

    Args:
        mb_locs, mb_confs, gt_mb_locs, gt_mb_labels, k, comm: as for
            :func:`multibox.multibox_loss`.
        min_hard_negatives: the least number of negatives mined per image, also in images without
            positives.

    Returns:
        ``(loc_loss, conf_loss)``: two (B,) Variables, one loss per image. All images are divided by
        the positives of the batch, or by 1 if it has none.

    Raises:
        TypeError, ValueError: as :func:`multibox.multibox_loss`; ``min_hard_negatives`` is checked
            as ``k`` is.
    """
    least = at_least_0('min_hard_negatives', min_hard_negatives)
    mb_locs, mb_confs, gt_mb_locs, gt_mb_labels, k = validate_inputs(
        mb_locs, mb_confs, gt_mb_locs, gt_mb_labels, k)
    with cuda.get_device_from_array(gt_mb_labels):
        positive = gt_mb_labels > 0
        conf_loss = CrossEntropy(mb_confs, gt_mb_labels)
        negative = hardest(conf_loss.array, gt_mb_labels == 0,
                           quota(positive, k).clip(least, None))
        loc_loss = terms.smooth_l1(mb_locs, gt_mb_locs, positive, axis=1)
        conf_loss = conf_loss.total(positive | negative, axis=1)
        n = mean_count(positive, loc_loss.dtype, comm)
        return loc_loss / n, conf_loss / n.astype(conf_loss.dtype)
