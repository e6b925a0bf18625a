"""Hard negative mining: which background boxes enter the loss (Liu et al., ECCV 2016, sec. 2.2)."""
from multibox import kernels

from chainer.backends import cuda


def hard_negatives(conf_loss, positive, neg_pos_ratio=3, ignored=None):
    """Mark the worst classified background boxes of each image by the rank of their loss.

    Boxes with the same loss are taken from the lowest index up, so a run repeats exactly. A box
    whose loss is not finite ranks last.

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
    if conf_loss.ndim != 2 or conf_loss.shape != positive.shape:
        raise ValueError('conf_loss and positive must have one shape (B, K), got '
                         f'{conf_loss.shape} and {positive.shape}')
    if ignored is not None and ignored.shape != positive.shape:
        raise ValueError(f'ignored must be (B, K) = {positive.shape}, got {ignored.shape}')
    if not neg_pos_ratio >= 0:
        raise ValueError(f'neg_pos_ratio must be >= 0, got {neg_pos_ratio}')
    xp = cuda.get_array_module(conf_loss)
    negative = ~positive if ignored is None else ~(positive | ignored)
    last = xp.finfo(conf_loss.dtype).min
    candidate = xp.where(negative, xp.where(xp.isfinite(conf_loss), conf_loss, last), -xp.inf)
    neg_pos_ratio = min(neg_pos_ratio, conf_loss.shape[1])  # more makes no difference, but inf * 0
    return kernels.n_largest(candidate, positive.sum(axis=1) * neg_pos_ratio)
