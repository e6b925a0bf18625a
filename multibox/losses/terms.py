"""The parts that every formulation of the loss shares: two terms, their weights, the normaliser."""
from multibox.engines import kernels
from multibox.engines.once import differentiable_once
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
        xp = cuda.get_array_module(*inputs)
        if kernels.is_on_gpu(inputs[0]):
            loss = self._loss(self._difference(*inputs), axis=2)
        else:
            loss = np.zeros(self.positive.size, inputs[0].dtype)
            for rows, difference in self._differences(*inputs):
                loss[rows] = self._loss(difference.T.copy(), axis=0)
        return xp.asarray(loss.reshape(self.positive.shape).sum(axis=self.axis)),

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
        mb_locs = inputs[0].array
        weight = of_boxes(grad_outputs[0].array, self.axis, self.positive.shape)
        if kernels.is_on_gpu(mb_locs):
            with cuda.get_device_from_array(mb_locs):
                grad = self._slope(self._difference(mb_locs)) * weight[..., None]
        else:
            grad, weight = np.zeros((self.positive.size, 4), mb_locs.dtype), weight.reshape(-1)
            for rows, difference in self._differences(mb_locs):
                grad[rows] = self._slope(difference) * weight[rows].repeat(4).reshape(-1, 4)
            grad = grad.reshape(mb_locs.shape)
        return differentiable_once(self.name, (grad,), inputs)

    def _difference(self, mb_locs):
        """(B, K, 4) predictions minus targets, 0 for a box that is not positive."""
        xp = cuda.get_array_module(mb_locs)
        difference = (mb_locs - self.target).astype(mb_locs.dtype, copy=False)
        return xp.where(self.positive[..., None], difference, mb_locs.dtype.type(0))

    def _differences(self, mb_locs):
        """Yield n row indices of positive boxes, and their predictions minus targets, (n, 4)."""
        predicted, target = mb_locs.reshape(-1, 4), self.target.reshape(-1, 4)
        for rows in selected_rows(self.positive.reshape(-1), width=4):
            with np.errstate(invalid='ignore'):
                difference = pick(predicted, rows) - pick(target, rows)
            yield rows, difference.astype(mb_locs.dtype, copy=False)


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


class _Divided(chainer.FunctionNode):
    """Divides both terms in one node, where Chainer's divisions take four in both passes."""

    def __init__(self, divisor):
        self.divisor = divisor

    def forward(self, inputs):
        return tuple(map(self._quotient, inputs))

    def backward(self, indexes, grad_outputs):
        return tuple(None if grad is None else _Divided(self.divisor).apply((grad,))[0]
                     for grad in grad_outputs)

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
    loc, conf = smooth_l1(mb_locs, gt_mb_locs, positive, axis=None), conf_loss.total(counted)
    n_positive = mean_count(positive, loc.dtype, comm)
    return _Divided(n_positive).apply((loc, conf))
