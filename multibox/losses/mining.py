"""Hard negative mining: which background boxes enter the loss (Liu et al., ECCV 2016, sec. 2.2).

Boxes with the same loss are taken in the order of their indices, so a run repeats exactly. A box
whose loss is not finite ranks last.
"""
from multibox.engines import kernels
from multibox.losses import gpu
from multibox.losses.inputs import at_least_0
from multibox.processes import OneProcess, as_processes
from multibox.typing import Array, Communicator

import numpy as np
from chainer.backends import cuda


def hard_negatives(conf_loss: Array, positive: Array, neg_pos_ratio: float = 3,
                   ignored: Array | None = None) -> Array:
    """Mark the worst classified background boxes of each image, by the rank of their loss.

    Args:
        conf_loss: (B, K) float array, cross entropy of each box in nats.
        positive: (B, K) bool array, True where a box is matched to an object.
        neg_pos_ratio: negatives kept per positive of the same image, >= 0; the paper uses 3. A
            fractional product is rounded up, as ChainerCV's comparison of ranks does.
        ignored: (B, K) bool array of boxes that are neither positive nor negative, or None.

    Returns:
        (B, K) bool array, never True where ``positive`` or ``ignored`` is True. An image without
        positives keeps no negatives.

    Raises:
        TypeError: ``neg_pos_ratio`` is no number.
        ValueError: the shapes differ, or ``neg_pos_ratio`` is negative.
    """
    neg_pos_ratio = _validate(conf_loss, positive, neg_pos_ratio, ignored)
    return hardest(conf_loss, _neither(positive, ignored), quota(positive, neg_pos_ratio))


def hard_negatives_of_batch(conf_loss: Array, positive: Array, neg_pos_ratio: float = 3,
                            n_neg_min: int = 0, ignored: Array | None = None,
                            comm: Communicator = None) -> Array:
    """Mark the worst classified background boxes of the whole batch, as ssd_keras does.

    Args:
        conf_loss: (B, K) float array, cross entropy of each box in nats.
        positive: (B, K) bool array.
        neg_pos_ratio: negatives kept per positive of the batch, >= 0.
        n_neg_min: the least number of negatives kept, however few positives there are.
        ignored: (B, K) bool array of boxes that are neither positive nor negative, or None.
        comm: a ChainerMN communicator whose processes share the batch, or None.

    Returns:
        (B, K) bool array. A box with a loss of exactly 0 is never kept.

    Raises:
        TypeError: ``neg_pos_ratio`` or ``n_neg_min`` is no number.
        ValueError: the shapes differ, or a number is negative.
    """
    neg_pos_ratio = _validate(conf_loss, positive, neg_pos_ratio, ignored)
    processes = as_processes(comm)
    negative = _neither(positive, ignored) & (conf_loss != 0)
    xp = cuda.get_array_module(conf_loss)
    n_box = processes.sum(xp.asarray(positive.size))
    n_positive = processes.sum(xp.asarray(positive.sum()))
    n = (n_positive * xp.minimum(neg_pos_ratio, n_box)).clip(
        at_least_0('n_neg_min', n_neg_min), None)
    ranked = _ranked(conf_loss.reshape(1, -1), negative.reshape(1, -1))
    n = xp.asarray(count_among_largest(ranked[0], n, processes)).reshape(1)
    return n_largest(ranked, n).reshape(conf_loss.shape)


def hardest_with_positives(conf_loss: Array, positive: Array, neg_pos_ratio: float, at_most: int,
                           ignored: Array | None = None, loss_of_positives: float = 0) -> Array:
    """Mark the hardest boxes of each image, where positives compete with one loss.

    The PyTorch implementations set the loss of positives to 0 before they sort. They therefore take
    positives as negatives if too few negatives have a loss above 0. torchvision sets it to -inf.

    Args:
        conf_loss: (B, K) float array, by which boxes are ranked.
        positive: (B, K) bool array.
        neg_pos_ratio: boxes marked per positive of the same image, >= 0. A fractional product is
            computed in float32, as in PyTorch, and rounded up.
        at_most: the largest number of boxes marked per image.
        ignored: (B, K) bool array of boxes that are neither positive nor negative, or None.
        loss_of_positives: the loss by which positives are ranked.

    Returns:
        (B, K) bool array, possibly True where ``positive`` is True.

    Raises:
        TypeError: ``neg_pos_ratio`` is no number.
        ValueError: the shapes differ, or ``neg_pos_ratio`` is negative.
    """
    neg_pos_ratio = _validate(conf_loss, positive, neg_pos_ratio, ignored)
    xp = cuda.get_array_module(conf_loss)
    ranked = xp.where(positive, conf_loss.dtype.type(loss_of_positives), conf_loss)
    n = quota(positive, float(np.float32(neg_pos_ratio))).astype(np.float32).clip(None, at_most)
    return hardest(ranked, _neither(xp.zeros_like(positive), ignored), n)


def hardest(conf_loss: Array, candidate: Array, n: Array) -> Array:
    """Mark the ``n`` candidates of each row with the largest loss.

    Args:
        conf_loss: (B, K) float array.
        candidate: (B, K) bool array.
        n: (B,) array of numbers >= 0; a fraction is rounded up.

    Returns:
        (B, K) bool array, never True where ``candidate`` is False.
    """
    return n_largest(_ranked(conf_loss, candidate), n)


def n_largest(values: Array, n: Array) -> Array:
    """Mark the ``n`` largest values of each row; of equal values, those with the lowest index.

    Args:
        values: (B, K) float array without nan; an entry of -inf is never marked.
        n: (B,) array of numbers; 0 or less marks none, a fraction is rounded up.

    Returns:
        (B, K) bool array.
    """
    if not kernels.is_on_gpu(values):
        marked = values > -np.inf
        for row, mark, n_mark in zip(values, marked, np.ceil(n)):
            if n_mark <= 0:
                mark[:] = False
            elif n_mark < np.count_nonzero(mark):
                _mark_largest(row, int(n_mark), mark)
        return marked
    if values.dtype == np.float32:
        return gpu.n_largest(values, n)
    xp = cuda.get_array_module(values)
    # argsort of argsort gives ranks; the first has to be stable, so that ties keep their order.
    rank = xp.argsort(xp.argsort(-values, axis=1, kind='stable'), axis=1)
    return (values > -np.inf) & (rank < n[:, None])


def count_among_largest(values: Array, n: Array, processes: OneProcess) -> int | Array:
    """Count the values of this process among the ``n`` largest values of all processes.

    Among equal values the lower rank comes first, just as the lower index does on one process.

    Args:
        values: (M,) float array, M differs between processes; -inf never counts.
        n: number >= 0, the same on every process; a fraction is rounded up.
        processes: the processes that share the batch.

    Returns:
        int; ``n`` itself for a single process.
    """
    if processes.comm is None:
        return n
    n = int(np.ceil(float(n)))
    values = cuda.to_cpu(values)
    own = -np.sort(-values[values > -np.inf])[:n]
    parts = processes.all_gather(own)
    rank = np.repeat(np.arange(len(parts)), [len(part) for part in parts])
    order = np.argsort(-np.concatenate(parts), kind='stable')[:n]
    return int((rank[order] == processes.rank).sum())


def _mark_largest(row, n, mark):
    threshold = np.partition(row, len(row) - n)[len(row) - n]
    np.greater(row, threshold, out=mark)
    ties = np.flatnonzero(row == threshold)
    mark[ties[:n - np.count_nonzero(mark)]] = True


def _ranked(conf_loss, candidate):
    xp = cuda.get_array_module(conf_loss)
    last = xp.finfo(conf_loss.dtype).min
    return xp.where(candidate, xp.where(xp.isfinite(conf_loss), conf_loss, last), -xp.inf)


def quota(positive: Array, neg_pos_ratio: float | np.floating) -> Array:
    """(B,) numbers of negatives: ``neg_pos_ratio`` per positive of the (B, K) bool array."""
    neg_pos_ratio = min(neg_pos_ratio, positive.shape[1])  # inf * 0 would be nan
    return positive.sum(axis=1) * neg_pos_ratio


def _neither(positive, ignored):
    return ~positive if ignored is None else ~(positive | ignored)


def _validate(conf_loss, positive, neg_pos_ratio, ignored):
    if conf_loss.ndim != 2 or conf_loss.shape != positive.shape:
        raise ValueError('conf_loss and positive must have one shape (B, K), got '
                         f'{conf_loss.shape} and {positive.shape}')
    if ignored is not None and ignored.shape != positive.shape:
        raise ValueError(f'ignored must be (B, K) = {positive.shape}, got {ignored.shape}')
    return at_least_0('neg_pos_ratio', neg_pos_ratio)
