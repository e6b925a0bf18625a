"""Softmax cross entropy per box: Eq. 3 of Liu et al., ECCV 2016, before its sum.

On a CPU both passes work in blocks that fit the cache, and the backward pass skips boxes without a
gradient. On a GPU the host would have to wait for such a selection. The kernels of loss.cu (CuPy in
float64) therefore compute all boxes and mask them.
"""
from collections.abc import Iterator

from multibox.engines import kernels
from multibox.engines.once import differentiable_once
from multibox.losses import gpu
from multibox.typing import Array, ArrayOrVariable

import chainer
import numpy as np
from chainer.backends import cuda

BLOCK = 2 ** 16  # elements per block: 256 KB in single precision
SPAN = 2 ** 14  # boxes that one search for selected rows covers


def softmax_cross_entropy(logits: ArrayOrVariable, labels: ArrayOrVariable) -> chainer.Variable:
    """Softmax cross entropy of every box.

    A box whose incoming gradient is 0 passes back exactly 0, whatever its logits. On a CPU its
    logits are not read in the backward pass, and the gradient is the only array of the size of the
    logits that is allocated.

    Args:
        logits: (..., C) float16, float32 or float64, array or Variable; copied if not contiguous.
            On a GPU bfloat16 is accepted as well.
        labels: (...) int array, the class of each box; -1 gives a loss and a gradient of 0.

    Returns:
        (...) Variable in nats, float32 (float64 for float64 logits). Differentiable once.
    """
    logits = chainer.as_variable(logits)
    if not gpu.takes(logits.array):
        logits = in_single_precision(logits)
    return _SoftmaxCrossEntropy(chainer.as_array(labels)).apply((logits,))[0]


def in_single_precision(x: ArrayOrVariable) -> chainer.Variable:
    """Cast float16 to float32, so that sums do not overflow; float32 and float64 stay.

    Args:
        x: array or Variable of any shape.

    Returns:
        Variable; its gradient comes back in the dtype of ``x``.
    """
    dtype = np.result_type(x.dtype, np.float32)
    return chainer.as_variable(x) if x.dtype == dtype else chainer.functions.cast(x, dtype)


def selected_rows(mask: np.ndarray, width: int) -> Iterator[np.ndarray | slice]:
    """Find the selected rows of an array, one block after another.

    Args:
        mask: (N,) NumPy array, not 0 where a row is selected.
        width: number of elements per row.

    Yields:
        (n,) int array of rising row indices, or a slice where n rows follow each other.
    """
    height = max(1, BLOCK // 2 // width)  # half a block, because gathered rows are copied again
    n_selected = np.count_nonzero(mask.astype(bool, copy=False))
    span = SPAN if n_selected > SPAN else max(1, len(mask))  # few rows: one search for all
    for start in range(0, len(mask), span):
        rows = np.flatnonzero(mask[start:start + span].astype(bool, copy=False)) + start
        for first in range(0, len(rows), height):
            block = rows[first:first + height]
            dense = block[-1] - block[0] < len(block)
            yield slice(block[0], block[-1] + 1) if dense else block


def pick(x: np.ndarray, rows: np.ndarray | slice) -> np.ndarray:
    """The rows of :func:`selected_rows`; a view for a slice."""
    return x[rows] if isinstance(rows, slice) else x.take(rows, axis=0)  # take(): twice as fast


class _SoftmaxCrossEntropy(chainer.FunctionNode):

    def __init__(self, labels):
        self.labels = labels

    def forward(self, inputs):
        self.retain_inputs((0,))
        return losses(*inputs, self.labels),

    def backward(self, indexes, grad_outputs):
        inputs = *self.get_retained_inputs(), *grad_outputs
        logits, weight = (x.array for x in inputs)
        with cuda.get_device_from_array(logits):
            grad = gradient(logits, self.labels, weight, (weight != 0) & (self.labels >= 0))
        return differentiable_once('softmax_cross_entropy', (grad,), inputs)


def losses(logits: Array, labels: Array) -> Array:
    """The values of :func:`softmax_cross_entropy`, for logits that are not float16 on a CPU."""
    if gpu.takes(logits):
        return gpu.cross_entropy(logits, labels)
    return (_losses_gpu if kernels.is_on_gpu(logits) else _losses_cpu)(logits, labels)


def gradient(logits: Array, labels: Array, weight: Array, counted: Array) -> Array:
    """The gradient of the sum of all cross entropies, each times its weight and its count.

    Args:
        logits: (..., C) float array as for :func:`losses`.
        labels: (...) int array, -1 to C - 1.
        weight: (...) float array; on a CPU only its entries for boxes that count are read.
        counted: (...) bool or int array, the number of times that a box counts; 0 for the label -1.

    Returns:
        (..., C) array in the dtype of ``logits``.
    """
    if not kernels.is_on_gpu(logits):
        return _gradient_cpu(logits, labels, weight, counted)
    xp = cuda.get_array_module(logits)
    weight = xp.where(counted != 0, weight, weight.dtype.type(0)) * counted.astype(weight.dtype)
    compute = gpu.cross_entropy_gradient if gpu.takes(logits) else _gradient_gpu
    return compute(logits, labels, weight)


def _losses_cpu(logits, labels):
    shape, logits, labels = labels.shape, logits.reshape(-1, logits.shape[-1]), labels.reshape(-1)
    loss = np.empty(labels.shape, logits.dtype)
    n_class = logits.shape[1]
    height, ones = max(1, BLOCK // n_class), np.ones(n_class, logits.dtype)
    with np.errstate(invalid='ignore', over='ignore'):
        for start in range(0, len(logits), height):
            block = logits[start:start + height]
            label = np.maximum(labels[start:start + height], 0).astype(np.intp)
            label_logit = block.reshape(-1).take(np.arange(len(block)) * n_class + label)
            # No maximum is subtracted: a sum is at least 1, and the next loop mends overflows.
            shifted = label_logit.repeat(n_class).reshape(block.shape)
            np.exp(np.subtract(block, shifted, out=shifted), out=shifted)
            loss[start:start + height] = np.log(shifted @ ones)  # faster than sum(axis=1)
    for rows in selected_rows(~np.isfinite(loss), n_class):
        columns = _shifted_columns(pick(logits, rows))
        label_logit = columns.take(_index(pick(labels, rows)))
        loss[rows] = np.log(np.exp(columns).sum(axis=0)) - label_logit
    loss[labels < 0] = 0
    return loss.reshape(shape)


def _losses_gpu(logits, labels):
    xp = cuda.get_array_module(logits)
    log_probability = _log_softmax(xp, logits)
    column = xp.maximum(labels, 0)[..., None]
    loss = -xp.take_along_axis(log_probability, column, axis=-1)[..., 0]
    return xp.where(labels < 0, loss.dtype.type(0), loss)


def _gradient_cpu(logits, labels, weight, counted):
    shape, logits = logits.shape, logits.reshape(-1, logits.shape[-1])
    weight, labels, counted = (x.reshape(-1) for x in (weight, labels, counted))
    grad = np.zeros(logits.shape, logits.dtype)
    for rows in selected_rows(counted, logits.shape[1]):
        columns = _shifted_columns(pick(logits, rows))
        np.exp(columns, out=columns)
        row_weight = weight[rows] * pick(counted, rows).astype(weight.dtype)
        columns *= row_weight / columns.sum(axis=0)
        columns.reshape(-1)[_index(pick(labels, rows))] -= row_weight
        grad[rows] = columns.T
    return grad.reshape(shape)


def _gradient_gpu(logits, labels, weight):
    xp = cuda.get_array_module(logits)
    weight = xp.where(labels < 0, 0, weight)[..., None]
    grad = xp.exp(_log_softmax(xp, logits))
    grad -= labels[..., None] == xp.arange(grad.shape[-1])
    # where, not a product: a box without weight gives 0 even if its logits are nan.
    return xp.where(weight != 0, grad * weight, grad.dtype.type(0))


def _shifted_columns(logits):
    """Subtract the maximum of each box from (n, C) logits; the result is a new (C, n) array.

    Classes come first, because NumPy's reductions over a short last axis are slow.
    """
    columns = logits.T.copy()
    with np.errstate(invalid='ignore', over='ignore'):
        columns -= columns.max(axis=0)
    return columns


def _index(labels):
    """The flat index of each of n labels in (C, n) columns; -1 stands for the last class."""
    return labels.astype(np.intp) * len(labels) + np.arange(len(labels))


def _log_softmax(xp, logits):
    shifted = logits - logits.max(axis=-1, keepdims=True)
    return shifted - xp.log(xp.exp(shifted).sum(axis=-1, keepdims=True))
