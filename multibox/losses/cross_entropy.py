"""Softmax cross entropy per box: Eq. 3 of Liu et al., ECCV 2016, before its sum.

On a CPU both passes work in blocks that fit the cache, and the backward pass skips boxes without a
gradient. On a GPU the host would have to wait for such a selection. The kernels of loss.cu (CuPy in
float64) therefore compute all boxes and mask them.
"""
from multibox.engines import kernels
from multibox.engines.once import differentiable_once
from multibox.engines.threads import in_threads
from multibox.losses import gpu
from multibox.losses.blocks import IGNORED, all_rows, pick, row_sums, selected_rows
from multibox.losses.inputs import check_labels
from multibox.typing import Array, ArrayOrVariable

import chainer
import numpy as np
from chainer.backends import cuda

LARGE = 2 ** 20  # sum of exponentials from which x - x of the label is rounded too much


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

    Raises:
        ValueError: on a CPU, a label is not in -1 to C - 1.
    """
    logits, labels = chainer.as_variable(logits), chainer.as_array(labels)
    check_labels('labels', labels, logits.shape[-1])
    if not gpu.takes(logits.array):
        logits = in_single_precision(logits)
    return _SoftmaxCrossEntropy(labels).apply((logits,))[0]


def in_single_precision(x: ArrayOrVariable) -> chainer.Variable:
    """Cast float16 to float32, so that sums do not overflow; float32 and float64 stay.

    Args:
        x: array or Variable of any shape.

    Returns:
        Variable; its gradient comes back in the dtype of ``x``.
    """
    dtype = np.result_type(x.dtype, np.float32)
    return chainer.as_variable(x) if x.dtype == dtype else chainer.functions.cast(x, dtype)


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

    def compute(rows):
        index = _label_index(np.maximum(labels[rows], 0), n_class)
        with np.errstate(**IGNORED):
            loss[rows] = np.log(_exponentials(logits[rows], index)[1])

    in_threads(compute, all_rows(len(logits), n_class), logits.size)
    for rows in selected_rows(~np.isfinite(loss), n_class):
        columns = _shifted_columns(pick(logits, rows))
        label_logit = columns[pick(labels, rows), np.arange(columns.shape[1])]
        with np.errstate(**IGNORED):
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
    n_class = logits.shape[1]

    def compute(rows):
        index = _label_index(pick(labels, rows), n_class)
        row_weight = weight[rows] * pick(counted, rows).astype(weight.dtype)
        in_place = isinstance(rows, slice)
        with np.errstate(**IGNORED):
            result, total = _exponentials(
                pick(logits, rows), index, grad[rows] if in_place else None)
            far = np.flatnonzero(~(total < LARGE))  # nan is not below LARGE either
            factor = np.divide(row_weight, total, out=total)
            result *= factor[:, None]
        result.reshape(-1)[index] = factor - row_weight
        if len(far):
            columns = _shifted_columns(pick(logits, rows)[far])
            with np.errstate(**IGNORED):
                np.exp(columns, out=columns)
                columns *= row_weight[far] / columns.sum(axis=0)
            columns[pick(labels, rows)[far], np.arange(len(far))] -= row_weight[far]
            result[far] = columns.T
        if not in_place:
            grad[rows] = result

    in_threads(compute, selected_rows(counted, n_class), np.count_nonzero(counted) * n_class)
    return grad.reshape(shape)


def _gradient_gpu(logits, labels, weight):
    xp = cuda.get_array_module(logits)
    weight = xp.where(labels < 0, 0, weight)[..., None]
    grad = xp.exp(_log_softmax(xp, logits))
    grad -= labels[..., None] == xp.arange(grad.shape[-1])
    # where, not a product: a box without weight gives 0 even if its logits are nan.
    return xp.where(weight != 0, grad * weight, grad.dtype.type(0))


def _exponentials(logits, index, out=None):
    """exp(x - x of the label) of (n, C) logits, and the sum per box.

    No maximum is subtracted. A sum of finite logits is at least 1, and can only overflow. Where the
    logit of the label is not finite, the sum is nan.

    Args:
        logits: (n, C) float array.
        index: (n,) int array, from :func:`_label_index`.
        out: (n, C) array for the result; None makes one.

    Returns:
        (n, C) and (n,) arrays.
    """
    flat, n_class = logits.reshape(-1), logits.shape[1]
    if out is None:
        out = flat.take(index).repeat(n_class).reshape(logits.shape)  # faster than broadcasting
    else:
        out[:] = flat.take(index)[:, None]
    np.exp(np.subtract(logits, out, out=out), out=out)
    return out, row_sums(out)


def _shifted_columns(logits):
    """Subtract the maximum of each box from (n, C) logits; the result is a new (C, n) array.

    Classes come first, because NumPy's reductions over a short last axis are slow.
    """
    columns = logits.T.copy()
    with np.errstate(**IGNORED):
        columns -= columns.max(axis=0)
    return columns


def _label_index(labels, n_class):
    """The flat index of the label of each of n boxes in (n, C) logits."""
    return np.arange(0, len(labels) * n_class, n_class) + labels.astype(np.intp, copy=False)


def _log_softmax(xp, logits):
    shifted = logits - logits.max(axis=-1, keepdims=True)
    return shifted - xp.log(xp.exp(shifted).sum(axis=-1, keepdims=True))
