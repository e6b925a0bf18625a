"""The multibox loss on a GPU: launches of the kernels in loss.cu."""
from pathlib import Path

from multibox.engines import kernels
from multibox.engines.once import differentiable_once
from multibox.losses.normalizer import mean_count
from multibox.processes import as_processes
from multibox.typing import Array

import chainer
import numpy as np
from chainer.backends import cuda

SOURCE = Path(__file__).with_name('loss.cu')
TILE, BLOCK, THREADS = 6144, 256, 1024  # as in loss.cu


def takes(*arrays: Array) -> bool:
    """Whether the kernels accept logits or offsets: on a GPU, not float64, C below TILE."""
    return all(kernels.is_on_gpu(x) and x.dtype.name in kernels.TYPES and x.shape[-1] < TILE
               for x in arrays)


def cross_entropy(logits: Array, labels: Array) -> Array:
    """Forward pass of :func:`multibox.kernels.softmax_cross_entropy`.

    Args:
        logits: (..., C) float32, float16 or bfloat16 array, C < TILE.
        labels: (...) int array. A label of C or more gives nan.

    Returns:
        (...) float32 array, in nats.
    """
    xp = cuda.get_array_module(logits)
    n_class = logits.shape[-1]
    loss = xp.empty(labels.shape, np.float32)
    n_row = min(BLOCK, TILE // (n_class | 1))
    n_row -= n_row % 8 if n_row > 8 else 0  # a multiple of 16 bytes, so the next block is aligned
    if loss.size:
        _launch('cross_entropy', logits, -(-loss.size // n_row), BLOCK,
                xp.ascontiguousarray(logits), xp.ascontiguousarray(labels, np.int32), loss,
                np.int32(loss.size), np.int32(n_class), np.int32(n_row))
    return loss


def cross_entropy_gradient(logits: Array, labels: Array, weight: Array) -> Array:
    """Backward pass of :func:`cross_entropy`.

    Args:
        logits, labels: as for :func:`cross_entropy`.
        weight: (...) float array, the incoming gradient of each box.

    Returns:
        (..., C) array in the dtype of ``logits``.
    """
    xp = cuda.get_array_module(logits)
    gradient = xp.empty(logits.shape, logits.dtype)
    if gradient.size:
        _launch('cross_entropy_gradient', logits, -(-labels.size // BLOCK), BLOCK,
                xp.ascontiguousarray(logits), xp.ascontiguousarray(labels, np.int32),
                xp.ascontiguousarray(weight, np.float32), gradient, np.int32(labels.size),
                np.int32(logits.shape[-1]))
    return gradient


def n_largest(values: Array, n: Array) -> Array:
    """:func:`multibox.kernels.n_largest` for (B, K) float32 arrays on a GPU, K below 2**28."""
    xp = cuda.get_array_module(values)
    marked = xp.empty(values.shape, bool)
    if marked.size:
        kernels.launch(SOURCE, 'mark_largest', len(values), THREADS, xp.ascontiguousarray(values),
                       xp.ascontiguousarray(n, np.float64), marked, np.int32(values.shape[1]))
    return marked


class MultiboxLoss(chainer.FunctionNode):
    """Both terms of :func:`multibox.multibox_loss` in three launches, and both gradients in one.

    The composed form consists of many small kernels. Chainer and CuPy take longer to launch them
    than a GPU takes to run them.

    Args:
        gt_mb_locs: (B, K, 4) float array.
        gt_mb_labels: (B, K) int array.
        neg_pos_ratio: hard negatives per positive of the same image.
        comm: a ChainerMN communicator whose processes share the batch, or None.
    """

    def __init__(self, gt_mb_locs, gt_mb_labels, neg_pos_ratio, comm=None):
        xp = cuda.get_array_module(gt_mb_labels)
        self.gt_mb_locs = xp.ascontiguousarray(gt_mb_locs, np.float32)
        self.gt_mb_labels = xp.ascontiguousarray(gt_mb_labels, np.int32)
        self.neg_pos_ratio, self.comm = neg_pos_ratio, as_processes(comm).comm

    def forward(self, inputs):
        self.retain_inputs((0, 1))
        mb_locs, mb_confs = inputs
        xp = cuda.get_array_module(mb_locs)
        B, K = self.gt_mb_labels.shape
        conf_losses = cross_entropy(mb_confs, self.gt_mb_labels)
        self.counted, of_image = xp.empty((B, K), bool), xp.empty((B, 3), np.float32)
        _launch('mine', mb_locs, B, THREADS, xp.ascontiguousarray(mb_locs), self.gt_mb_locs,
                self.gt_mb_labels, conf_losses, np.float64(min(self.neg_pos_ratio, K)),
                self.counted, of_image, np.int32(K))
        loc_loss, conf_loss = xp.empty((), np.float32), xp.empty((), np.float32)
        if self.comm is None:  # the kernel counts the positives
            average, self.n_positive = 'average<true>', xp.empty((), np.float32)
        else:
            average = 'average<false>'
            self.n_positive = mean_count(self.gt_mb_labels > 0, np.float32, self.comm)
        kernels.launch(SOURCE, average, 1, BLOCK, of_image, self.n_positive, loc_loss, conf_loss,
                       np.int32(B))
        return loc_loss, conf_loss

    def backward(self, indexes, grad_outputs):
        inputs = self.get_retained_inputs()
        mb_locs, mb_confs = (x.array for x in inputs)
        xp = cuda.get_array_module(mb_locs)
        weights = (xp.zeros((), np.float32) if grad is None else grad.array
                   for grad in grad_outputs)
        grads = xp.empty(mb_locs.shape, mb_locs.dtype), xp.empty(mb_confs.shape, mb_confs.dtype)
        n_box = self.counted.size
        _launch('gradients', mb_locs, -(-n_box // BLOCK), BLOCK, xp.ascontiguousarray(mb_locs),
                xp.ascontiguousarray(mb_confs), self.gt_mb_locs, self.gt_mb_labels, self.counted,
                self.n_positive, *weights, *grads, np.int32(n_box), np.int32(mb_confs.shape[2]))
        grads = differentiable_once('multibox_loss', grads, (*inputs, *grad_outputs))
        return tuple(None if weight is None else grad for weight, grad in zip(grad_outputs, grads))


def _launch(kernel, typed_as, grid, block, *args):
    """Launch the instance of a kernel template for the dtype of the array ``typed_as``."""
    kernels.launch(SOURCE, f'{kernel}<{kernels.TYPES[typed_as.dtype.name]}>', grid, block, *args)
