"""Sums over the boxes that count; a box that does not count passes back exactly 0, even for nan."""
from multibox.engines import kernels
from multibox.engines.once import differentiable_once
from multibox.losses import cross_entropy, gpu
from multibox.losses.cross_entropy import in_single_precision, pick, selected_rows
from multibox.typing import Array, ArrayOrVariable

import chainer
import chainer.functions as F
import numpy as np
from chainer.backends import cuda


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


def of_boxes(grad: Array, axis: int | tuple | None, shape: tuple) -> Array:
    """The gradient of each box, from that of a sum over ``axis`` of (B, K) = ``shape`` losses.

    Returns:
        (B, K) array without memory of its own; not to be written.
    """
    xp = cuda.get_array_module(grad)
    return xp.broadcast_to(grad[:, None] if axis == 1 else grad, shape)


class CrossEntropy:
    """Softmax cross entropy of every box, whose sums pass gradients straight to the logits.

    No array of (B, K) floats is kept for the backward pass.

    Args:
        logits: (B, K, C) float array or Variable.
        labels: (B, K) int array, -1 to C - 1.

    Attributes:
        array: (B, K) float array of the losses; may be replaced, which leaves gradients unchanged.
    """

    def __init__(self, logits: ArrayOrVariable, labels: Array):
        logits = chainer.as_variable(logits)
        self.logits = logits if gpu.takes(logits.array) else in_single_precision(logits)
        self.labels = labels
        self.array = self._losses()

    def _losses(self):
        return cross_entropy.losses(self.logits.array, self.labels)

    def total(self, counted: Array, axis: int | None = None) -> chainer.Variable:
        """Sum the losses as :func:`total` does."""
        return self.node(counted, axis).apply((self.logits, self.array))[0]

    def node(self, counted: Array, axis: int | None = None) -> chainer.FunctionNode:
        """The function of ``logits`` and ``array`` that :meth:`total` applies."""
        return _TotalCrossEntropy(self.labels, counted, self._taught(counted), axis)

    def _taught(self, counted):
        """The counts of the boxes in the gradient."""
        return counted


class _Counted(chainer.FunctionNode):

    def __init__(self, counted):
        self.counted = counted

    def forward(self, inputs):
        return _times(*inputs, self.counted),

    def backward(self, indexes, grad_outputs):
        with cuda.get_device_from_array(self.counted):
            return _Counted(self.counted).apply(grad_outputs)


class _TotalCrossEntropy(chainer.FunctionNode):

    def __init__(self, labels, counted, taught, axis):
        self.labels, self.counted, self.taught, self.axis = labels, counted, taught, axis

    def forward(self, inputs):
        self.retain_inputs((0,))
        return self.value(inputs[1]),

    def value(self, losses):
        """The sums of (B, K) losses."""
        xp = cuda.get_array_module(losses)
        return xp.asarray(_times(losses, self.counted).sum(axis=self.axis))

    def backward(self, indexes, grad_outputs):
        inputs = *self.get_retained_inputs(), *grad_outputs
        grad = self.gradient(*(each.array for each in inputs))
        return *differentiable_once('the cross entropy', (grad,), inputs), None

    def gradient(self, logits, weight):
        """The gradient of the sums with (B, K, C) logits, times that of the sums."""
        with cuda.get_device_from_array(logits):
            weight = of_boxes(weight, self.axis, self.labels.shape)
            return cross_entropy.gradient(logits, self.labels, weight, self.taught)


def _times(x, counted):
    """Multiply (B, K) numbers by the counts of their boxes; 0 times nan gives 0."""
    zero = x.dtype.type(0)
    if kernels.is_on_gpu(x):
        xp = cuda.get_array_module(x)
        return xp.where(counted > 0, x, zero) * counted.astype(x.dtype)
    shape, counted, x = x.shape, counted.reshape(-1), x.reshape(-1)
    result = np.zeros(counted.shape, x.dtype)
    for rows in selected_rows(counted, width=1):
        result[rows] = pick(x, rows) * pick(counted, rows).astype(x.dtype)
    return result.reshape(shape)
