"""The parts that every formulation of the loss shares: two terms, their weights, the normaliser."""
from multibox.engines import kernels
from multibox.engines.once import differentiable_once
from multibox.engines.threads import in_threads
from multibox.losses.blocks import pick, selected_rows
from multibox.losses.cross_entropy import in_single_precision
from multibox.losses.normalizer import mean_count
from multibox.losses.totals import CrossEntropy, Sum, of_boxes
from multibox.typing import Array, ArrayOrVariable, Communicator

import chainer
import numpy as np
from chainer.backends import cuda


def weigh(loc_loss: chainer.Variable, conf_loss: chainer.Variable,
          alpha: float = 1) -> chainer.Variable:
    """Eq. 1 of Liu et al., ECCV 2016: conf + alpha * loc, the loss that trains the network."""
    return conf_loss + alpha * loc_loss


class _SmoothL1(Sum):

    name = 'smooth_l1'

    def __init__(self, target, positive, axis):
        self.target, self.positive, self.axis = target, positive, axis

    def value(self, x):
        xp = cuda.get_array_module(x)
        if kernels.is_on_gpu(x):
            loss = self._loss(self._difference(x), axis=2)
        else:
            loss = np.zeros(self.positive.size, x.dtype)

            def compute(rows, columns):
                loss[rows] = self._loss(columns, axis=0)

            self._over_columns(x, compute)
        return xp.asarray(loss.reshape(self.positive.shape).sum(axis=self.axis))

    def gradient(self, x, weight):
        weight = of_boxes(weight, self.axis, self.positive.shape)
        if kernels.is_on_gpu(x):
            xp = cuda.get_array_module(x)
            with cuda.get_device_from_array(x):
                grad = self._slope(self._difference(x)) * weight[..., None]
                return xp.where(self.positive[..., None], grad, x.dtype.type(0))  # 0 times nan
        grad, weight = np.zeros((self.positive.size, 4), x.dtype), weight.reshape(-1)

        def compute(rows, columns):
            weights = np.where(self._is_positive(rows), weight[rows], 0)  # 0 times nan is nan
            grad[rows] = (self._slope(columns) * weights).T

        self._over_columns(x, compute)
        return grad.reshape(x.shape)

    @staticmethod
    def _loss(difference, axis):
        distance = abs(difference)
        within_1 = cuda.get_array_module(distance).minimum(distance, 1)
        return (within_1 * (distance - within_1 / 2)).sum(axis=axis)

    @staticmethod
    def _slope(difference):
        return difference.clip(-1, 1)

    def _difference(self, mb_locs):
        """(B, K, 4) predictions minus targets, 0 for a box that is not positive."""
        xp = cuda.get_array_module(mb_locs)
        difference = (mb_locs - self.target).astype(mb_locs.dtype, copy=False)
        return xp.where(self.positive[..., None], difference, mb_locs.dtype.type(0))

    def _over_columns(self, x, compute):
        """Call ``compute(rows, columns)`` for blocks of n rows, in which all positive boxes are.

        The columns are predictions minus targets, (4, n), and 0 for a box that is not positive.
        Offsets come first, because NumPy's sums over a short last axis are slow.
        """
        predicted, target = x.reshape(-1, 4), self.target.reshape(-1, 4)

        def subtract(rows):
            with np.errstate(invalid='ignore', over='ignore'):
                columns = (pick(predicted, rows) - pick(target, rows)).T
            columns = np.array(columns, x.dtype, order='C')
            bits = columns.view(f'i{columns.itemsize}')
            bits &= -self._is_positive(rows).astype(bits.dtype)  # faster than an assignment by mask
            compute(rows, columns)

        positive = self.positive.reshape(-1)
        in_threads(subtract, selected_rows(positive, width=4, least_share=1 / 4),
                   4 * np.count_nonzero(positive))

    def _is_positive(self, rows):
        return pick(self.positive.reshape(-1), rows)


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
    return _SmoothL1(gt_mb_locs, positive, axis).apply(in_single_precision(mb_locs))


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
    return _L1(gt_mb_locs, positive, axis).apply(in_single_precision(mb_locs))


class _MeanOverPositives(chainer.FunctionNode):
    """Two sums, each divided by one divisor, in one node: every node costs time in both passes."""

    def __init__(self, sums, divisor):
        self.sums, self.divisor = sums, divisor

    def forward(self, inputs):
        self.retain_inputs((0, 1))
        return tuple(self._quotient(each.value(x)) for each, x in zip(self.sums, inputs))

    def backward(self, indexes, grad_outputs):
        inputs = self.get_retained_inputs()
        # The second gradient needs the larger temporary arrays, so it comes before the first one.
        used = [i for i in (1, 0) if grad_outputs[i] is not None]
        with cuda.get_device_from_array(self.divisor):
            grads = tuple(self.sums[i].gradient(
                inputs[i].array, self._quotient(grad_outputs[i].array)) for i in used)
        grads = dict(zip(used, differentiable_once(
            'multibox_loss', grads, (*inputs, *grad_outputs))))
        return grads.get(0), grads.get(1)

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
    sums = _SmoothL1(gt_mb_locs, positive, None), conf_loss.sum(counted)
    node = _MeanOverPositives(sums, mean_count(positive, mb_locs.dtype, comm))
    return node.apply((mb_locs, conf_loss.logits))
