"""The parts that every formulation of the loss shares: two terms, their weights, the normaliser."""
from multibox.engines import kernels
from multibox.engines.once import differentiable_once
from multibox.losses.cross_entropy import in_single_precision, selected_rows
from multibox.losses.normalizer import mean_count
from multibox.typing import Array, ArrayOrVariable, Communicator

import chainer
import chainer.functions as F
import numpy as np
from chainer.backends import cuda


def weigh(loc_loss: chainer.Variable, conf_loss: chainer.Variable,
          alpha: float = 1) -> chainer.Variable:
    """Eq. 1 of Liu et al., ECCV 2016: conf + alpha * loc, the loss that trains the network."""
    return conf_loss + alpha * loc_loss


class _SmoothL1(chainer.FunctionNode):

    def __init__(self, target, positive):
        self.target, self.positive = target, positive

    def forward(self, inputs):
        self.retain_inputs((0,))
        if kernels.is_on_gpu(inputs[0]):
            return self._loss(self._difference(*inputs), axis=2),
        loss = np.zeros(self.positive.size, inputs[0].dtype)
        for rows, difference in self._differences(*inputs):
            loss[rows] = self._loss(difference, axis=0)
        return loss.reshape(self.positive.shape),

    @staticmethod
    def _loss(difference, axis):
        distance = abs(difference)
        within_1 = cuda.get_array_module(distance).minimum(distance, 1)
        return (within_1 * (distance - within_1 / 2)).sum(axis=axis)

    def backward(self, indexes, grad_outputs):
        inputs = *self.get_retained_inputs(), *grad_outputs
        mb_locs, weight = (x.array for x in inputs)
        if kernels.is_on_gpu(mb_locs):
            with cuda.get_device_from_array(mb_locs):
                grad = self._difference(mb_locs).clip(-1, 1) * weight[..., None]
        else:
            grad, weight = np.zeros((self.positive.size, 4), mb_locs.dtype), weight.reshape(-1)
            for rows, difference in self._differences(mb_locs):
                grad[rows] = (difference.clip(-1, 1) * weight.take(rows)).T
            grad = grad.reshape(mb_locs.shape)
        return differentiable_once('smooth_l1', (grad,), inputs)

    def _difference(self, mb_locs):
        """(B, K, 4) predictions minus targets, 0 for a box that is not positive."""
        xp = cuda.get_array_module(mb_locs)
        difference = (mb_locs - self.target).astype(mb_locs.dtype, copy=False)
        return xp.where(self.positive[..., None], difference, mb_locs.dtype.type(0))

    def _differences(self, mb_locs):
        """Yield n row indices of positive boxes, and their predictions minus targets, (4, n)."""
        positive, zero = self.positive.reshape(-1), mb_locs.dtype.type(0)
        predicted, target = mb_locs.reshape(-1, 4), self.target.reshape(-1, 4)
        for rows in selected_rows(positive, width=4):
            with np.errstate(invalid='ignore'):
                difference = predicted.take(rows, axis=0) - target.take(rows, axis=0)
            difference = difference.T.astype(mb_locs.dtype, order='C')
            yield rows, np.where(positive.take(rows), difference, zero)


def smooth_l1(mb_locs: ArrayOrVariable, gt_mb_locs: Array, positive: Array) -> chainer.Variable:
    """Smooth L1 loss of each matched box, summed over its four offsets: Eq. 2 before its sum.

    Args:
        mb_locs: (B, K, 4) float Variable, predicted offsets.
        gt_mb_locs: (B, K, 4) float array, offsets of the matched objects.
        positive: (B, K) bool array; other boxes give a loss and a gradient of 0, even for nan.

    Returns:
        (B, K) Variable, float32 (float64 for float64 predictions). Differentiable once.
    """
    return _SmoothL1(gt_mb_locs, positive).apply((in_single_precision(mb_locs),))[0]


class _Counted(chainer.FunctionNode):

    def __init__(self, counted):
        self.counted = counted

    def forward(self, inputs):
        return self._times(*inputs),

    def backward(self, indexes, grad_outputs):
        with cuda.get_device_from_array(self.counted):
            return _Counted(self.counted).apply(grad_outputs)

    def _times(self, x):
        """Multiply (B, K) numbers by the counts of their boxes; 0 times nan gives 0."""
        zero = x.dtype.type(0)
        if kernels.is_on_gpu(x):
            xp = cuda.get_array_module(x)
            return xp.where(self.counted > 0, x, zero) * self.counted.astype(x.dtype)
        counted, x_of = self.counted.reshape(-1), x.reshape(-1)
        result = np.zeros(counted.shape, x.dtype)
        for rows in selected_rows(counted, width=1):
            times = counted.take(rows)
            result[rows] = np.where(times > 0, x_of.take(rows), zero) * times.astype(x.dtype)
        return result.reshape(x.shape)


def total(loss: chainer.Variable, counted: Array, axis: int | None = None) -> chainer.Variable:
    """Sum ``loss`` over boxes; a box that does not count passes back exactly 0, even for nan.

    Args:
        loss: (B, K) float Variable.
        counted: (B, K) bool or int array, the number of times that a box counts.
        axis: None sums over the batch, 1 over the boxes of each image.

    Returns:
        Scalar or (B,) Variable. Differentiable once.
    """
    counted_loss, = _Counted(counted).apply((loss,))
    return F.sum(counted_loss, axis=axis)


def mean_over_positives(mb_locs: ArrayOrVariable, conf_loss: chainer.Variable, gt_mb_locs: Array,
                        positive: Array, counted: Array, comm: Communicator = None
                        ) -> tuple[chainer.Variable, chainer.Variable]:
    """The two terms of Eq. 1, divided by N.

    Args:
        mb_locs: (B, K, 4) float Variable, predicted offsets.
        conf_loss: (B, K) float Variable, cross entropy of each box.
        gt_mb_locs: (B, K, 4) float array, offsets of the matched objects.
        positive: (B, K) bool array.
        counted: (B, K) bool or int array, the number of times that a box counts in ``conf_loss``.
        comm: a ChainerMN communicator, or None.

    Returns:
        ``(loc_loss, conf_loss)``: two scalar Variables, 0 if there is no positive box at all.
    """
    loc_loss = smooth_l1(mb_locs, gt_mb_locs, positive)
    n_positive = mean_count(positive, loc_loss.dtype, comm)
    return (F.sum(loc_loss) / n_positive,
            total(conf_loss, counted) / n_positive.astype(conf_loss.dtype))
