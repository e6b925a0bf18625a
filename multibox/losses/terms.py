"""The parts that every formulation of the loss shares: two terms, their weights, the normaliser."""
from multibox.engines import kernels
from multibox.engines.once import differentiable_once
from multibox.engines.threads import in_threads
from multibox.losses.cross_entropy import in_single_precision, pick, selected_rows
from multibox.losses.normalizer import mean_count
from multibox.losses.totals import CrossEntropy, of_boxes
from multibox.typing import Array, ArrayOrVariable, Communicator

import chainer
import numpy as np
from chainer.backends import cuda


def weigh(loc_loss: chainer.Variable, conf_loss: chainer.Variable,
          alpha: float = 1) -> chainer.Variable:
    """Eq. 1 of Liu et al., ECCV 2016: conf + alpha * loc, the loss that trains the network."""
    return conf_loss + alpha * loc_loss


class _SmoothL1(chainer.FunctionNode):

    name = 'smooth_l1'

    def __init__(self, target, positive, axis):
        self.target, self.positive, self.axis = target, positive, axis

    def forward(self, inputs):
        self.retain_inputs((0,))
        return self.value(*inputs),

    def value(self, mb_locs):
        """The sums of the losses of (B, K, 4) predictions."""
        xp = cuda.get_array_module(mb_locs)
        if kernels.is_on_gpu(mb_locs):
            loss = self._loss(self._difference(mb_locs), axis=2)
        else:
            loss = np.zeros(self.positive.size, mb_locs.dtype)

            def compute(rows):
                loss[rows] = self._loss(self._columns(mb_locs, rows), axis=0)

            self._over_rows(compute)
        return xp.asarray(loss.reshape(self.positive.shape).sum(axis=self.axis))

    @staticmethod
    def _loss(difference, axis):
        distance = abs(difference)
        within_1 = cuda.get_array_module(distance).minimum(distance, 1)
        return (within_1 * (distance - within_1 / 2)).sum(axis=axis)

    @staticmethod
    def _slope(difference):
        return difference.clip(-1, 1)

    def backward(self, indexes, grad_outputs):
        inputs = *self.get_retained_inputs(), *grad_outputs
        return differentiable_once(
            self.name, (self.gradient(*(each.array for each in inputs)),), inputs)

    def gradient(self, mb_locs, weight):
        """The gradient of :meth:`value` with (B, K, 4) predictions, times that of the sums."""
        weight = of_boxes(weight, self.axis, self.positive.shape)
        if kernels.is_on_gpu(mb_locs):
            with cuda.get_device_from_array(mb_locs):
                grad = self._slope(self._difference(mb_locs)) * weight[..., None]
        else:
            grad, weight = np.zeros((self.positive.size, 4), mb_locs.dtype), weight.reshape(-1)

            def compute(rows):
                grad[rows] = (self._slope(self._columns(mb_locs, rows)) * weight[rows]).T

            self._over_rows(compute)
            grad = grad.reshape(mb_locs.shape)
        return grad

    def _difference(self, mb_locs):
        """(B, K, 4) predictions minus targets, 0 for a box that is not positive."""
        xp = cuda.get_array_module(mb_locs)
        difference = (mb_locs - self.target).astype(mb_locs.dtype, copy=False)
        return xp.where(self.positive[..., None], difference, mb_locs.dtype.type(0))

    def _over_rows(self, compute):
        """Call a function with the rows of positive boxes, one block after another."""
        positive = self.positive.reshape(-1)
        in_threads(compute, selected_rows(positive, width=4, least_share=1 / 4),
                   4 * np.count_nonzero(positive))

    def _columns(self, mb_locs, rows):
        """Predictions minus targets of n rows as (4, n), 0 for a box that is not positive.

        Offsets come first, because NumPy's sums over a short last axis are slow.
        """
        with np.errstate(invalid='ignore'):
            difference = pick(mb_locs.reshape(-1, 4), rows) - pick(self.target.reshape(-1, 4), rows)
        columns = np.array(difference.T, mb_locs.dtype, order='C')
        bits = columns.view(f'i{columns.itemsize}')
        bits &= -pick(self.positive.reshape(-1), rows).astype(bits.dtype)  # faster than a mask
        return columns


def smooth_l1(mb_locs: ArrayOrVariable, gt_mb_locs: Array, positive: Array,
              axis: int | tuple | None = ()) -> chainer.Variable:
    """Smooth L1 loss of the matched boxes, summed over four offsets: Eq. 2 of Liu et al.

    Args:
        mb_locs: (B, K, 4) float Variable, predicted offsets.
        gt_mb_locs: (B, K, 4) float array, offsets of the matched objects.
        positive: (B, K) bool array; other boxes give a loss and a gradient of 0, even for nan.
        axis: ``()`` keeps one loss per box, None sums over the batch, 1 over each image.

    Returns:
        (B, K), scalar or (B,) Variable, float32 (float64 for float64 predictions). Differentiable
        once.
    """
    return _SmoothL1(gt_mb_locs, positive, axis).apply((in_single_precision(mb_locs),))[0]


class _L1(_SmoothL1):

    name = 'l1'

    @staticmethod
    def _loss(difference, axis):
        return abs(difference).sum(axis=axis)

    @staticmethod
    def _slope(difference):
        return cuda.get_array_module(difference).sign(difference)


def l1(mb_locs: ArrayOrVariable, gt_mb_locs: Array, positive: Array,
       axis: int | tuple | None = ()) -> chainer.Variable:
    """Distances of the matched boxes, summed over four offsets; otherwise :func:`smooth_l1`."""
    return _L1(gt_mb_locs, positive, axis).apply((in_single_precision(mb_locs),))[0]


class _MeanOverPositives(chainer.FunctionNode):
    """Both terms in one node, because a node takes as long as the loss of 2000 boxes."""

    def __init__(self, loc, conf, divisor):
        self.loc, self.conf, self.divisor = loc, conf, divisor

    def forward(self, inputs):
        self.retain_inputs((0, 1))
        mb_locs, _, losses = inputs
        return tuple(map(self._quotient, (self.loc.value(mb_locs), self.conf.value(losses))))

    def backward(self, indexes, grad_outputs):
        inputs = self.get_retained_inputs()
        with cuda.get_device_from_array(self.divisor):
            grads = [part.gradient(x.array, self._quotient(weight.array))
                     for part, x, weight in zip((self.loc, self.conf), inputs, grad_outputs)
                     if weight is not None]
        grads = iter(differentiable_once('multibox_loss', tuple(grads), (*inputs, *grad_outputs)))
        return *(None if weight is None else next(grads) for weight in grad_outputs), None

    def _quotient(self, x):
        with cuda.get_device_from_array(x):
            return cuda.get_array_module(x).asarray(x / self.divisor.astype(x.dtype))


def mean_over_positives(mb_locs: ArrayOrVariable, conf_loss: CrossEntropy, gt_mb_locs: Array,
                        positive: Array, counted: Array, comm: Communicator = None
                        ) -> tuple[chainer.Variable, chainer.Variable]:
    """The two terms of Eq. 1, divided by N.

    Args:
        mb_locs: (B, K, 4) float Variable, predicted offsets.
        conf_loss: the cross entropy of each box.
        gt_mb_locs: (B, K, 4) float array, offsets of the matched objects.
        positive: (B, K) bool array.
        counted: (B, K) bool or int array, the number of times that a box counts in ``conf_loss``.
        comm: a ChainerMN communicator, or None.

    Returns:
        ``(loc_loss, conf_loss)``: two scalar Variables, 0 if there is no positive box at all.
    """
    mb_locs = in_single_precision(mb_locs)
    node = _MeanOverPositives(_SmoothL1(gt_mb_locs, positive, None), conf_loss.node(counted),
                              mean_count(positive, mb_locs.dtype, comm))
    return node.apply((mb_locs, conf_loss.logits, conf_loss.array))
