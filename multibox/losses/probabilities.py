"""Cross entropy of probabilities with a floor, as losses in Keras compute it."""
from multibox.typing import Array

import chainer
import chainer.functions as F
import numpy as np
from chainer.backends import cuda

FLOOR = 1e-15  # least probability in the logarithm; a box below it has no gradient


def softmax(logits: Array) -> Array:
    """Probabilities of (B, K, C) float logits, nan where a logit is not finite."""
    with np.errstate(invalid='ignore', over='ignore'):
        return F.softmax(logits, axis=2).array


def only(logits: chainer.Variable, counted: Array) -> chainer.Variable:
    """The logits of the boxes that count, and 0 for others, whose nan a gradient would spread.

    Args:
        logits: (B, K, C) float Variable.
        counted: (B, K) bool array.

    Returns:
        (B, K, C) Variable.
    """
    xp = cuda.get_array_module(counted)
    read = xp.broadcast_to(counted[..., None], logits.shape)
    return F.where(read, logits, xp.zeros_like(logits.array))


def log_loss(probability: chainer.Variable, labels: Array, counted: Array) -> chainer.Variable:
    """-log max(p, 1e-15) of the probability of the label.

    Args:
        probability: (B, K, C) float Variable.
        labels: (B, K) int array; below 0 for none.
        counted: (B, K) bool array.

    Returns:
        (B, K) Variable, 0 for a box that does not count.
    """
    xp = cuda.get_array_module(counted)
    is_label = labels[..., None] == xp.arange(probability.shape[2])
    p = F.sum(F.where(is_label, probability, xp.zeros_like(probability.array)), axis=2)
    p = F.where(counted, p, xp.ones_like(p.array))
    return -F.log(F.maximum(p, xp.full_like(p.array, FLOOR)))
