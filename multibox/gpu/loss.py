"""The multibox loss on a GPU: what launches the kernels of loss.cu, each beside its NumPy twin."""
from multibox import gpu

import chainer
import numpy as np
from chainer.backends import cuda

TYPES = {'f': 'float', 'e': '__half', 'E': '__nv_bfloat16'}  # E is ml_dtypes' bfloat16
TILE, BLOCK, THREADS = 6144, 256, 1024  # as in loss.cu


def takes(*arrays):
    """Whether the kernels are for these logits, offsets: on a GPU, not float64, C below TILE."""
    return all(gpu.holds(x) and x.dtype.char in TYPES and x.shape[-1] < TILE for x in arrays)


def cross_entropy(logits, labels):
    """Forward pass of :func:`multibox.kernels.softmax_cross_entropy`.

    Args:
        logits: (..., C) float32, float16 or bfloat16 array, C < TILE.
        labels: (...) int array. A label of C or more gives nan.

    Returns:
        (...) float32 array.
    """
    xp = cuda.get_array_module(logits)
    n_class = logits.shape[-1]
    loss = xp.empty(labels.shape, np.float32)
    n_row = min(BLOCK, TILE // (n_class | 1))
    n_row -= n_row % 8 if n_row > 8 else 0  # whole 16 bytes, so that the next block's are aligned
    if loss.size:
        gpu.launch('loss', f'cross_entropy<{TYPES[logits.dtype.char]}>', -(-loss.size // n_row),
                   BLOCK, xp.ascontiguousarray(logits), xp.ascontiguousarray(labels, np.int32),
                   loss, np.int32(loss.size), np.int32(n_class), np.int32(n_row))
    return loss


def cross_entropy_gradient(logits, labels, weight):
    """Backward pass of :func:`cross_entropy`: a new array like ``logits``.

    Args:
        logits, labels: as above.
        weight: (...) float array, the gradient of each box's loss.
    """
    xp = cuda.get_array_module(logits)
    gradient = xp.empty(logits.shape, logits.dtype)
    if gradient.size:
        gpu.launch('loss', f'cross_entropy_gradient<{TYPES[logits.dtype.char]}>',
                   -(-labels.size // BLOCK), BLOCK, xp.ascontiguousarray(logits),
                   xp.ascontiguousarray(labels, np.int32),
                   xp.ascontiguousarray(weight, np.float32), gradient, np.int32(labels.size),
                   np.int32(logits.shape[-1]))
    return gradient


def n_largest(values, n):
    """What :func:`multibox.kernels.n_largest` does, of float32 values, below 2**28 in a row."""
    xp = cuda.get_array_module(values)
    marked = xp.empty(values.shape, bool)
    if marked.size:
        gpu.launch('loss', 'mark_largest', len(values), THREADS, xp.ascontiguousarray(values),
                   xp.ascontiguousarray(n, np.float64), marked, np.int32(values.shape[1]))
    return marked


class MultiboxLoss(chainer.FunctionNode):
    """Both terms of :func:`multibox.multibox_loss` in three launches, and their gradients in one.

    Chainer and CuPy take longer to launch the many small kernels of the composed form than a GPU
    to run them.

    Args:
        gt_mb_locs: (B, K, 4) float array.
        gt_mb_labels: (B, K) int array.
        neg_pos_ratio: hard negatives per positive of the same image.
        n_positive: 0-dimensional float32 array, what both terms are divided by; None for the
            positives of this batch, or 1.
    """

    def __init__(self, gt_mb_locs, gt_mb_labels, neg_pos_ratio, n_positive=None):
        xp = cuda.get_array_module(gt_mb_labels)
        self.gt_mb_locs = xp.ascontiguousarray(gt_mb_locs, np.float32)
        self.gt_mb_labels = xp.ascontiguousarray(gt_mb_labels, np.int32)
        self.neg_pos_ratio, self.n_positive = neg_pos_ratio, n_positive

    def forward(self, inputs):
        self.retain_inputs((0, 1))
        mb_locs, mb_confs = inputs
        xp = cuda.get_array_module(mb_locs)
        B, K = self.gt_mb_labels.shape
        conf_losses = cross_entropy(mb_confs, self.gt_mb_labels)
        self.counted, of_image = xp.empty((B, K), bool), xp.empty((B, 3), np.float32)
        gpu.launch('loss', f'mine<{TYPES[mb_locs.dtype.char]}>', B, THREADS,
                   xp.ascontiguousarray(mb_locs), self.gt_mb_locs, self.gt_mb_labels, conf_losses,
                   np.float64(min(self.neg_pos_ratio, K)), self.counted, of_image, np.int32(K))
        loc_loss, conf_loss = xp.empty((), np.float32), xp.empty((), np.float32)
        average = 'average<true>' if self.n_positive is None else 'average<false>'
        if self.n_positive is None:
            self.n_positive = xp.empty((), np.float32)
        gpu.launch('loss', average, 1, BLOCK, of_image, self.n_positive, loc_loss, conf_loss,
                   np.int32(B))
        return loc_loss, conf_loss

    def backward(self, indexes, grad_outputs):
        mb_locs, mb_confs = (x.array for x in self.get_retained_inputs())
        xp = cuda.get_array_module(mb_locs)
        weights = (xp.zeros((), np.float32) if grad is None else grad.array
                   for grad in grad_outputs)
        grads = xp.empty(mb_locs.shape, mb_locs.dtype), xp.empty(mb_confs.shape, mb_confs.dtype)
        n_box = self.counted.size
        gpu.launch('loss', f'gradients<{TYPES[mb_locs.dtype.char]}>', -(-n_box // BLOCK), BLOCK,
                   xp.ascontiguousarray(mb_locs), xp.ascontiguousarray(mb_confs), self.gt_mb_locs,
                   self.gt_mb_labels, self.counted, self.n_positive, *weights, *grads,
                   np.int32(n_box), np.int32(mb_confs.shape[2]))
        return tuple(None if weight is None else chainer.Variable(grad)
                     for weight, grad in zip(grad_outputs, grads))
