"""Hard negative mining: which background boxes enter the loss (Liu et al., ECCV 2016, sec. 2.2).

Boxes with the same loss are taken from the lowest index up, so a run repeats exactly. A box whose
loss is not finite ranks last.
"""
from multibox import kernels
from multibox.communication import count_among_largest, sum_over_processes

import numpy as np
from chainer.backends import cuda


def hard_negatives(conf_loss, positive, neg_pos_ratio=3, ignored=None):
    """Mark the worst classified background boxes of each image by the rank of their loss.

    Args:
        conf_loss: (B, K) float array, cross entropy of each box in nats.
        positive: (B, K) bool array, True where a box is matched to an object.
        neg_pos_ratio: negatives kept per positive of the same image, >= 0; the paper uses 3. A
            fractional product is rounded up, as ChainerCV's comparison of ranks does.
        ignored: (B, K) bool array of boxes that are neither positive nor negative, or None.

    Returns:
        (B, K) bool array, True nowhere that ``positive`` or ``ignored`` is. An image without
        positives keeps no negatives.

    Raises:
        ValueError: the shapes differ, or ``neg_pos_ratio`` is negative.
    """
    _check(conf_loss, positive, neg_pos_ratio, ignored)
    return hardest(conf_loss, _neither(positive, ignored), _quota(positive, neg_pos_ratio))


def hard_negatives_of_batch(conf_loss, positive, neg_pos_ratio=3, n_neg_min=0, ignored=None,
                            comm=None):
    """Mark the worst classified background boxes of the whole batch, as ssd_keras does.

    Args:
        conf_loss: (B, K) float array, cross entropy of each box in nats.
        positive: (B, K) bool array.
        neg_pos_ratio: negatives kept per positive of the batch, >= 0.
        n_neg_min: negatives kept at least, however few positives there are.
        ignored: (B, K) bool array of boxes that are neither positive nor negative, or None.
        comm: a ChainerMN communicator whose processes share the batch, or None.

    Returns:
        (B, K) bool array. A box whose loss is exactly 0 is never kept.

    Raises:
        ValueError: the shapes differ, or a number is negative.
    """
    _check(conf_loss, positive, neg_pos_ratio, ignored)
    if not n_neg_min >= 0:
        raise ValueError(f'n_neg_min must be >= 0, got {n_neg_min}')
    negative = _neither(positive, ignored) & (conf_loss != 0)
    xp = cuda.get_array_module(conf_loss)
    n_box = sum_over_processes(xp.asarray(positive.size), comm)
    n_positive = sum_over_processes(xp.asarray(positive.sum()), comm)
    n = (n_positive * xp.minimum(neg_pos_ratio, n_box)).clip(n_neg_min, None)
    ranked = _ranked(conf_loss.reshape(1, -1), negative.reshape(1, -1))
    n = xp.asarray(count_among_largest(ranked[0], n, comm)).reshape(1)
    return kernels.n_largest(ranked, n).reshape(conf_loss.shape)


def hardest_with_positives(conf_loss, positive, neg_pos_ratio, at_most, ignored=None):
    """Mark the hardest boxes of each image, positives competing with a loss of 0.

    The PyTorch implementations set the loss of positives to 0 before they sort. When there are
    fewer negatives of a loss above 0 than are wanted, positives are drawn as negatives.

    Args:
        conf_loss: (B, K) float array, what boxes are ranked by.
        positive: (B, K) bool array.
        neg_pos_ratio: boxes marked per positive of the same image, >= 0. A fractional product, in
            float32 as in PyTorch, is rounded up.
        at_most: limit on the boxes marked in an image.
        ignored: (B, K) bool array of boxes that are neither positive nor negative, or None.

    Returns:
        (B, K) bool array; may be True where ``positive`` is.

    Raises:
        ValueError: the shapes differ, or ``neg_pos_ratio`` is negative.
    """
    _check(conf_loss, positive, neg_pos_ratio, ignored)
    xp = cuda.get_array_module(conf_loss)
    ranked = xp.where(positive, conf_loss.dtype.type(0), conf_loss)
    n = _quota(positive, np.float32(neg_pos_ratio)).astype(np.float32).clip(None, at_most)
    return hardest(ranked, _neither(xp.zeros_like(positive), ignored), n)


def hardest(conf_loss, candidate, n):
    """Mark the ``n`` candidates of each row with the largest loss.

    Args:
        conf_loss: (B, K) float array.
        candidate: (B, K) bool array.
        n: (B,) array of numbers >= 0; a fraction counts as the next integer.

    Returns:
        (B, K) bool array, True nowhere that ``candidate`` is False.
    """
    return kernels.n_largest(_ranked(conf_loss, candidate), n)


def _ranked(conf_loss, candidate):
    xp = cuda.get_array_module(conf_loss)
    last = xp.finfo(conf_loss.dtype).min
    return xp.where(candidate, xp.where(xp.isfinite(conf_loss), conf_loss, last), -xp.inf)


def _quota(positive, neg_pos_ratio):
    neg_pos_ratio = min(neg_pos_ratio, positive.shape[1])  # more is all of them, but inf * 0 is nan
    return positive.sum(axis=1) * neg_pos_ratio


def _neither(positive, ignored):
    return ~positive if ignored is None else ~(positive | ignored)


def _check(conf_loss, positive, neg_pos_ratio, ignored):
    if conf_loss.ndim != 2 or conf_loss.shape != positive.shape:
        raise ValueError('conf_loss and positive must have one shape (B, K), got '
                         f'{conf_loss.shape} and {positive.shape}')
    if ignored is not None and ignored.shape != positive.shape:
        raise ValueError(f'ignored must be (B, K) = {positive.shape}, got {ignored.shape}')
    if not neg_pos_ratio >= 0:
        raise ValueError(f'neg_pos_ratio must be >= 0, got {neg_pos_ratio}')
