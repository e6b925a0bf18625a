"""Sums over the boxes that count, as nodes of a graph."""
from multibox.engines import kernels
from multibox.engines.once import differentiable_once
from multibox.losses import cross_entropy, gpu
from multibox.losses.blocks import pick, selected_rows
from multibox.losses.cross_entropy import in_single_precision
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


class Sum:
    """A sum over boxes as a function of one array; :meth:`apply` makes it a node of a graph.

    Attributes:
        name: the function, for messages.
    """

    name = ''

    def value(self, x: Array) -> Array:
        """The sums at the array ``x``."""
        raise NotImplementedError

    def gradient(self, x: Array, weight: Array) -> Array:
        """The gradient of the sums with ``x``, times the gradient of the sums."""
        raise NotImplementedError

    def apply(self, x: chainer.Variable) -> chainer.Variable:
        """The sums as a Variable. Differentiable once."""
        return _Node(self).apply((x,))[0]


class _Node(chainer.FunctionNode):

    def __init__(self, of):
        self.of = of

    def forward(self, inputs):
        self.retain_inputs((0,))
        return self.of.value(*inputs),

    def backward(self, indexes, grad_outputs):
        inputs = *self.get_retained_inputs(), *grad_outputs
        grad = self.of.gradient(*(each.array for each in inputs))
        return differentiable_once(self.of.name, (grad,), inputs)


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
        return self.sum(counted, axis).apply(self.logits)

    def sum(self, counted: Array, axis: int | None = None) -> Sum:
        """The sum of :meth:`total` as a function of the logits."""
        value = _times(self.array, counted).sum(axis=axis)
        return _SumOfCrossEntropies(value, self.labels, self._counted_in_gradient(counted), axis)

    def _counted_in_gradient(self, counted):
        return counted


class _SumOfCrossEntropies(Sum):
    """The sums are computed beforehand, so that the losses need not be kept."""

    name = 'the cross entropy'

    def __init__(self, value, labels, counted, axis):
        self._value, self.labels, self.counted, self.axis = value, labels, counted, axis

    def value(self, x):
        return cuda.get_array_module(x).asarray(self._value)

    def gradient(self, x, weight):
        with cuda.get_device_from_array(x):
            weight = of_boxes(weight, self.axis, self.labels.shape)
            return cross_entropy.gradient(x, self.labels, weight, self.counted)


class _Counted(chainer.FunctionNode):

    def __init__(self, counted):
        self.counted = counted

    def forward(self, inputs):
        return _times(*inputs, self.counted),

    def backward(self, indexes, grad_outputs):
        with cuda.get_device_from_array(self.counted):
            return _Counted(self.counted).apply(grad_outputs)


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
