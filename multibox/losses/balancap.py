"""The loss of balancap/SSD-Tensorflow: no forced match, a cut through the batch, divided by B."""
from multibox.boxes.matching import match_above as match
from multibox.losses import terms
from multibox.losses.inputs import validate_inputs
from multibox.losses.terms import weigh
from multibox.losses.totals import CrossEntropy
from multibox.processes import as_processes
from multibox.typing import ArrayOrVariable, Communicator

import chainer
import numpy as np
from chainer.backends import cuda

__all__ = ['match', 'multibox_loss', 'weigh']


def multibox_loss(mb_locs: ArrayOrVariable, mb_confs: ArrayOrVariable,
                  gt_mb_locs: ArrayOrVariable, gt_mb_labels: ArrayOrVariable, k: float = 3,
                  comm: Communicator = None) -> tuple[chainer.Variable, chainer.Variable]:
    """``ssd_losses`` of SSD-Tensorflow (commit e0e3104) for matched boxes.

    The negatives of the batch are ranked by their probability of background, and those below that
    of the n-th one are taken, with n = floor(k N) + B for N positives in B images. The n-th one and
    all that equal it stay out, so a batch without ties gives n - 1 negatives.

    Args:
        mb_locs, mb_confs, gt_mb_locs, gt_mb_labels, k: as for :func:`multibox.multibox_loss`.
        comm: a ChainerMN communicator, or None. Boxes are counted and ranked over all processes,
            which need equal shares of the batch.

    Returns:
        ``(loc_loss, conf_loss)``: two scalar Variables, the sums over the batch divided by B. The
        original reports the cross entropies of positives and of negatives apart; ``conf_loss`` is
        their sum.

    Raises:
        TypeError, ValueError: as :func:`multibox.multibox_loss`.
    """
    mb_locs, mb_confs, gt_mb_locs, gt_mb_labels, k = validate_inputs(
        mb_locs, mb_confs, gt_mb_locs, gt_mb_labels, k)
    with cuda.get_device_from_array(gt_mb_labels):
        positive = gt_mb_labels > 0
        conf_loss = CrossEntropy(mb_confs, gt_mb_labels)
        negative = _below_the_cut(conf_loss.array, gt_mb_labels, k, comm)
        n_image = max(1, len(positive))
        return (terms.smooth_l1(mb_locs, gt_mb_locs, positive, axis=None) / n_image,
                conf_loss.total(positive | negative) / n_image)


def _below_the_cut(conf_loss, labels, k, comm):
    """(B, K) bool array of the mined negatives."""
    xp, processes = cuda.get_array_module(labels), as_processes(comm)
    negative = labels == 0
    background = xp.exp(-conf_loss)  # the cross entropy of a negative is that of the background
    background = xp.where(negative & (background >= 0), background, np.inf)  # nan comes last
    n_positive, n_negative, n_box, n_image = processes.sum(xp.stack([
        xp.asarray(n) for n in ((labels > 0).sum(), negative.sum(), labels.size, len(labels))]))
    n = xp.floor(n_positive * xp.minimum(k, n_box)).astype(int) + n_image
    last = (xp.minimum(n, n_negative) - 1).clip(0, None)  # index of the n-th value
    return background < _nth_lowest(background.reshape(-1), last, processes)


def _nth_lowest(values, last, processes):
    """The value with a 0-dimensional int index in the sorted values of all processes."""
    xp = cuda.get_array_module(values)
    if not values.size and processes.comm is None:
        return np.inf
    if xp is not np and processes.comm is None:  # the host does not read the index
        return xp.sort(values).take(last)
    last, values = int(last), cuda.to_cpu(values)
    parts = processes.all_gather(np.partition(values, last)[:last + 1] if last < len(values)
                                 else values)
    values = np.concatenate(parts)
    return np.partition(values, last)[last] if len(values) else np.inf
