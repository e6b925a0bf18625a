"""The parts that every formulation of the loss shares: inputs, two terms, weights, normaliser."""
from multibox.engines import kernels
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
        mb_locs = self.get_retained_inputs()[0].array
        weight = of_boxes(grad_outputs[0].array, self.axis, self.positive.shape)
        if kernels.is_on_gpu(mb_locs):
            with cuda.get_device_from_array(mb_locs):
                grad = self._slope(self._difference(mb_locs)) * weight[..., None]
            return chainer.Variable(grad),
        grad, weight = np.zeros((self.positive.size, 4), mb_locs.dtype), weight.reshape(-1)
        for rows, difference in self._differences(mb_locs):
            grad[rows] = self._slope(difference) * weight[rows].repeat(4).reshape(-1, 4)
        return chainer.Variable(grad.reshape(mb_locs.shape)),

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
        return tuple(None if grad is None else chainer.Variable(self._quotient(grad.array))
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


def validate_inputs(mb_locs: ArrayOrVariable, mb_confs: ArrayOrVariable,
                    gt_mb_locs: ArrayOrVariable, gt_mb_labels: ArrayOrVariable, k: float
                    ) -> tuple[chainer.Variable, chainer.Variable, Array, Array]:
    """Check shapes and labels; return the predictions as Variables and the targets as arrays.

    Args:
        mb_locs: (B, K, 4) float, predicted offsets; array or Variable, like the rest.
        mb_confs: (B, K, C) float, logits or probabilities.
        gt_mb_locs: (B, K, 4) float, offsets of the matched objects.
        gt_mb_labels: (B, K) int, -1 to C - 1.
        k: hard negatives per positive.

    Returns:
        ``(mb_locs, mb_confs, gt_mb_locs, gt_mb_labels)``: two Variables and two arrays.

    Raises:
        ValueError: wrong rank or shape, labels that are not integers, below -1 or not below C, or
            a negative ``k``. Labels on a GPU are checked in Chainer's debug mode only, because
            the host would have to wait for them.
    """
    mb_locs, mb_confs = chainer.as_variable(mb_locs), chainer.as_variable(mb_confs)
    gt_mb_locs = chainer.as_variable(gt_mb_locs).array
    gt_mb_labels = chainer.as_variable(gt_mb_labels).array
    if mb_confs.ndim != 3 or mb_confs.shape[2] < 2:
        raise ValueError(f'mb_confs must be (B, K, C) with C >= 2, got {mb_confs.shape}')
    B, K, C = mb_confs.shape
    for name, array, shape in (('mb_locs', mb_locs, (B, K, 4)),
                               ('gt_mb_locs', gt_mb_locs, (B, K, 4)),
                               ('gt_mb_labels', gt_mb_labels, (B, K))):
        if array.shape != shape:
            raise ValueError(f'{name} must be {shape} to go with mb_confs {mb_confs.shape}, '
                             f'got {array.shape}')
    if gt_mb_labels.dtype.kind not in 'iu':
        raise ValueError(f'gt_mb_labels must be integers, got {gt_mb_labels.dtype}')
    if not k >= 0:
        raise ValueError(f'k, the number of negatives per positive, must be >= 0, got {k}')
    on_cpu = isinstance(gt_mb_labels, np.ndarray)
    if gt_mb_labels.size and (on_cpu or chainer.is_debug()):
        lowest, highest = int(gt_mb_labels.min()), int(gt_mb_labels.max())
        if highest >= C or lowest < -1:
            raise ValueError(f'gt_mb_labels must lie in -1 to C - 1 = {C - 1}, '
                             f'got {lowest} to {highest}')
    return mb_locs, mb_confs, gt_mb_locs, gt_mb_labels
