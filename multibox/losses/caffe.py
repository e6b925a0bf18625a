"""The loss the paper was made with: the layer MultiBoxLoss of weiliu89/caffe, branch ssd."""
from multibox.kernels import softmax_cross_entropy
from multibox.losses import terms
from multibox.losses.targets import MatchingLoss
from multibox.losses.terms import weigh
from multibox.matching import ignore_near_misses
from multibox.matching import match_bipartite as match
from multibox.mining import hardest

import chainer
import chainer.functions as F
import numpy as np
from chainer.backends import cuda

__all__ = ['MultiBoxLoss', 'match', 'multibox_loss', 'weigh']

HIGHEST = -np.log(np.finfo(np.float32).tiny)  # of a cross entropy: probabilities stop at FLT_MIN
NORMALIZATIONS = 'VALID', 'BATCH_SIZE', 'FULL', 'NONE'


def multibox_loss(mb_locs, mb_confs, gt_mb_locs, gt_mb_labels, k=3, comm=None,
                  normalization='VALID'):
    """What :class:`MultiBoxLoss` computes once objects are matched.

    Negatives are mined by MAX_NEGATIVE: of the boxes with label 0 those of the largest cross
    entropy, k times the positives rounded down. A cross entropy above 87.3 counts as 87.3, in the
    ranking and in the value, while its gradient stays that of the softmax.

    Args:
        mb_locs, mb_confs, gt_mb_locs, gt_mb_labels, k, comm: as for
            :func:`multibox.multibox_loss`. With ``comm`` the positives of all processes are
            counted, where Caffe divides by those of each GPU; the other normalisations need
            processes with equal shares of the batch.
        normalization: both sums are divided by the positives (``'VALID'``), the images
            (``'BATCH_SIZE'``), the boxes of all images (``'FULL'``) or 1 (``'NONE'``).

    Returns:
        ``(loc_loss, conf_loss)``: two scalar Variables.

    Raises:
        ValueError: as :func:`multibox.multibox_loss`, or an unknown normalisation.
    """
    if normalization not in NORMALIZATIONS:
        raise ValueError(f'normalization must be one of {", ".join(NORMALIZATIONS)}, '
                         f'got {normalization}')
    mb_locs, mb_confs, gt_mb_locs, gt_mb_labels = terms.checked(
        mb_locs, mb_confs, gt_mb_locs, gt_mb_labels, k)
    xp = cuda.get_array_module(gt_mb_labels)
    with cuda.get_device_from_array(gt_mb_labels):
        positive = gt_mb_labels > 0
        conf_loss, = _Capped().apply((softmax_cross_entropy(mb_confs, gt_mb_labels),))
        ratio = np.float32(min(k, positive.shape[1]))
        n_negative = xp.floor(positive.sum(axis=1).astype(np.float32) * ratio)
        negative = hardest(conf_loss.array, gt_mb_labels == 0, n_negative)
        loc_loss = terms.smooth_l1(mb_locs, gt_mb_locs, positive)
        if normalization == 'VALID':
            n = terms.mean_count(positive, loc_loss.dtype, comm)
        else:
            counts = {'BATCH_SIZE': len(positive), 'FULL': positive.size, 'NONE': 1}
            n = max(1, counts[normalization])
            if normalization == 'NONE' and comm is not None:
                n /= comm.size  # the mean over processes is to be their sum
        return F.sum(loc_loss) / n, terms.total(conf_loss, positive | negative) / n


class _Capped(chainer.FunctionNode):
    """Caffe floors the probability in the value alone: the gradient passes as if it were not."""

    def forward(self, inputs):
        return cuda.get_array_module(*inputs).minimum(inputs[0], inputs[0].dtype.type(HIGHEST)),

    def backward(self, indexes, grad_outputs):
        return grad_outputs


class MultiBoxLoss(MatchingLoss):
    """``src/caffe/layers/multibox_loss_layer.cpp`` with softmax, smooth L1 and MAX_NEGATIVE mining.

    Of the two terms it returns, the first has ``loc_weight`` in it; their sum is what the layer
    gives. Caffe ends at an object without an area, which is left out here.

    Args:
        num_classes: C, with the background.
        overlap_threshold: IoU from which a box is matched; greedy one-to-one matching goes before.
        neg_pos_ratio: hard negatives per positive of the same image.
        neg_overlap: a box of at least this IoU with an object is no negative. Below
            ``overlap_threshold`` it leaves a band of boxes that are ignored.
        loc_weight: weight of the localisation loss.
        normalization: see :func:`multibox_loss`.
        variance: divisors of the offsets of centre and size.
    """

    def __init__(self, num_classes, overlap_threshold=0.5, neg_pos_ratio=3.0, neg_overlap=0.5,
                 loc_weight=1.0, normalization='VALID', variance=(0.1, 0.2)):
        def match_outside_the_band(iou):
            return ignore_near_misses(match(iou, overlap_threshold), iou, neg_overlap)

        def weighted(*matched):
            loc_loss, conf_loss = multibox_loss(
                *matched, k=neg_pos_ratio, normalization=normalization)
            return loc_weight * loc_loss, conf_loss

        super().__init__(match_outside_the_band, weighted, num_classes, variance)
