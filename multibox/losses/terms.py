"""What every formulation of the loss shares: the localisation term, masked sums, the normaliser."""
from multibox.kernels import in_single_precision

import chainer.functions as F
from chainer.backends import cuda


def smooth_l1(mb_locs, gt_mb_locs, positive):
    """Smooth L1 loss of each matched box, summed over its four offsets: Eq. 2 before its sum.

    Args:
        mb_locs: (B, K, 4) float Variable, predicted offsets.
        gt_mb_locs: (B, K, 4) float array, offsets of the matched objects.
        positive: (B, K) bool array; other boxes give 0 and are never read.

    Returns:
        (B, K) Variable, float32 (float64 for float64 predictions).
    """
    mb_locs = in_single_precision(mb_locs)
    xp = cuda.get_array_module(mb_locs.array)
    read = xp.broadcast_to(positive[..., None], mb_locs.shape)
    target = xp.where(read, gt_mb_locs, 0).astype(mb_locs.dtype)
    predicted = F.where(read, mb_locs, xp.zeros_like(mb_locs.array))
    return F.sum(F.huber_loss(predicted, target, delta=1, reduce='no'), axis=-1)


def total(loss, selected):
    """Sum ``loss`` over ``selected`` boxes; the others pass back exactly 0, even where nan.

    Args:
        loss: (B, K) float Variable.
        selected: (B, K) bool array.

    Returns:
        Scalar Variable.
    """
    xp = cuda.get_array_module(selected)
    return F.sum(F.where(selected, loss, xp.zeros_like(loss.array)))


def mean_count(positive, dtype, comm=None):
    """N of Eq. 1, the number of positive boxes, as a divisor that is never 0.

    ChainerMN averages gradients over processes, so each divides by the mean count: the average is
    then the sum over all processes divided by all their positives.

    Args:
        positive: (B, K) bool array of this process.
        dtype: dtype of the result.
        comm: a ChainerMN communicator, or None for a single process.

    Returns:
        0-dimensional array on the device of ``positive``: the positives, averaged over processes;
        1 where there is none. It stays an array, so a GPU is never waited for.
    """
    xp = cuda.get_array_module(positive)
    n_positive = xp.asarray(positive.sum())
    if comm is not None:
        n_positive = comm.allreduce(n_positive) / comm.size
    return xp.where(n_positive > 0, n_positive, 1).astype(dtype)
