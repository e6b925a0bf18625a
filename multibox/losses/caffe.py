"""The loss of the paper's own code: the layer MultiBoxLoss of weiliu89/caffe, branch ssd."""
from multibox.boxes.matching import ignore_near_misses
from multibox.boxes.matching import match_bipartite as match
from multibox.losses import terms
from multibox.losses.inputs import at_least_0, validate_inputs
from multibox.losses.matching_loss import MatchingLoss
from multibox.losses.mining import hardest
from multibox.losses.normalizer import mean_count
from multibox.losses.terms import weigh
from multibox.losses.totals import CrossEntropy
from multibox.processes import as_processes
from multibox.typing import ArrayOrVariable, Communicator

import chainer
import numpy as np
from chainer.backends import cuda

__all__ = ['MultiBoxLoss', 'match', 'multibox_loss', 'weigh']

# The largest cross entropy: Caffe floors probabilities at FLT_MIN.
HIGHEST = -np.log(np.finfo(np.float32).tiny)
NORMALIZATIONS = 'VALID', 'BATCH_SIZE', 'FULL', 'NONE'


def multibox_loss(mb_locs: ArrayOrVariable, mb_confs: ArrayOrVariable,
                  gt_mb_locs: ArrayOrVariable, gt_mb_labels: ArrayOrVariable, k: float = 3,
                  comm: Communicator = None, normalization: str = 'VALID'
                  ) -> tuple[chainer.Variable, chainer.Variable]:
    """The loss of :class:`MultiBoxLoss` for matched boxes.

    Negatives are mined by MAX_NEGATIVE: the boxes with label 0 and the largest cross entropy, k
    times as many as positives, rounded down. A cross entropy above 87.3 counts as 87.3, both in
    the ranking and in the value. Its gradient stays that of the softmax.

    Args:
        mb_locs, mb_confs, gt_mb_locs, gt_mb_labels, k, comm: as for
            :func:`multibox.multibox_loss`. With ``comm`` the positives of all processes are
            counted, whereas Caffe divides by those of each GPU. Every normalisation but
            ``'VALID'`` needs processes with equal shares of the batch.
        normalization: both sums are divided by the number of positives (``'VALID'``), of images
            (``'BATCH_SIZE'``), of boxes in all images (``'FULL'``) or by 1 (``'NONE'``).

    Returns:
        ``(loc_loss, conf_loss)``: two scalar Variables.

    Raises:
        TypeError, ValueError: as :func:`multibox.multibox_loss`, or an unknown normalisation.
    """
    if normalization not in NORMALIZATIONS:
        raise ValueError(f'normalization must be one of {", ".join(NORMALIZATIONS)}, '
                         f'got {normalization}')
    mb_locs, mb_confs, gt_mb_locs, gt_mb_labels, k = validate_inputs(
        mb_locs, mb_confs, gt_mb_locs, gt_mb_labels, k)
    xp = cuda.get_array_module(gt_mb_labels)
    with cuda.get_device_from_array(gt_mb_labels):
        positive = gt_mb_labels > 0
        conf_loss = CrossEntropy(mb_confs, gt_mb_labels)
        conf_loss.array = xp.minimum(conf_loss.array, conf_loss.array.dtype.type(HIGHEST))
        ratio = np.float32(min(k, positive.shape[1]))
        n_negative = xp.floor(positive.sum(axis=1).astype(np.float32) * ratio)
        negative = hardest(conf_loss.array, gt_mb_labels == 0, n_negative)
        loc_loss = terms.smooth_l1(mb_locs, gt_mb_locs, positive, axis=None)
        if normalization == 'VALID':
            n = mean_count(positive, loc_loss.dtype, comm)
        else:
            counts = {'BATCH_SIZE': len(positive), 'FULL': positive.size, 'NONE': 1}
            n = max(1, counts[normalization])
            if normalization == 'NONE':
                n /= as_processes(comm).size  # ChainerMN's mean over processes becomes a sum
        return loc_loss / n, conf_loss.total(positive | negative) / n


class MultiBoxLoss(MatchingLoss):
    """``src/caffe/layers/multibox_loss_layer.cpp`` with softmax, smooth L1 and MAX_NEGATIVE mining.

    The first of the two returned terms contains ``loc_weight``; the sum of both is the output of
    the layer. An object without an area is left out, whereas Caffe aborts at it.

    Args:
        num_classes: C, with the background.
        overlap_threshold: IoU from which a box is matched after greedy one-to-one matching.
        neg_pos_ratio: hard negatives per positive of the same image.
        neg_overlap: a box is no negative if its IoU with an object is at least this. A value below
            ``overlap_threshold`` leaves a band of boxes that are ignored.
        loc_weight: weight of the localisation loss.
        normalization: see :func:`multibox_loss`.
        variance: divisors of the offsets of centre and size.
    """

    def __init__(self, num_classes: int, overlap_threshold: float = 0.5,
                 neg_pos_ratio: float = 3.0, neg_overlap: float = 0.5, loc_weight: float = 1.0,
                 normalization: str = 'VALID', variance: tuple = (0.1, 0.2)):
        neg_pos_ratio = at_least_0('neg_pos_ratio', neg_pos_ratio)

        def match_outside_the_band(iou):
            return ignore_near_misses(match(iou, overlap_threshold), iou, neg_overlap)

        def weighted(*matched):
            loc_loss, conf_loss = multibox_loss(
                *matched, k=neg_pos_ratio, normalization=normalization)
            return loc_weight * loc_loss, conf_loss

        super().__init__(match_outside_the_band, weighted, num_classes, variance)
