"""Cross entropy of probabilities with a floor, as losses in Keras compute it."""
from multibox.losses.cross_entropy import in_single_precision
from multibox.losses.totals import CrossEntropy
from multibox.typing import Array, ArrayOrVariable

import chainer
import chainer.functions as F
import numpy as np
from chainer.backends import cuda

FLOOR = 1e-15  # least probability in the logarithm; a box below it has no gradient


class LogLoss(CrossEntropy):
    """-log max(p, 1e-15) of the label of every box, whose sums pass gradients to the logits.

    Attributes:
        array: (B, K) float array of the losses.
        probability: (B, K, C) softmax of the logits, nan where a logit is not finite.
    """

    def __init__(self, logits: ArrayOrVariable, labels: Array):
        super().__init__(in_single_precision(chainer.as_variable(logits)), labels)

    def _losses(self):
        with np.errstate(invalid='ignore', over='ignore'):
            self.probability = F.softmax(self.logits.array, axis=2).array
        p = of_label(self.probability, self.labels)
        self._has_gradient = p >= FLOOR
        return floored_log(p)

    def _counted_in_gradient(self, counted):
        return counted & self._has_gradient


def of_label(probability: Array, labels: Array) -> Array:
    """The (B, K) probabilities of labels, from (B, K, C); of class 0 for the label -1."""
    xp = cuda.get_array_module(probability)
    return xp.take_along_axis(probability, xp.maximum(labels, 0)[..., None], axis=2)[..., 0]


def floored_log(probability: Array) -> Array:
    """-log max(p, 1e-15) of an array of any shape."""
    xp = cuda.get_array_module(probability)
    return -xp.log(xp.maximum(probability, FLOOR))


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
