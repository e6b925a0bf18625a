"""multibox_loss with ChainerCV's signature and values."""
from multibox.kernels import softmax_cross_entropy
from multibox.losses.terms import mean_count, smooth_l1, total
from multibox.mining import hard_negatives

import chainer
import numpy as np
from chainer.backends import cuda


def multibox_loss(mb_locs, mb_confs, gt_mb_locs, gt_mb_labels, k, comm=None):
    """The loss of SSD: Eq. 2 and 3 of Liu et al., ECCV 2016, as ChainerCV 0.13 computes it.

    A box that does not enter the loss cannot harm it: nan or inf in its prediction or its target
    leaves both losses and all gradients as they were. Without any positive box both losses are 0
    and stay connected to the predictions, whose gradients are exactly 0.

    Args:
        mb_locs: (B, K, 4) float16, float32 or float64, predicted offsets; array or Variable.
        mb_confs: (B, K, C) float, logits, column 0 is the background; array or Variable.
        gt_mb_locs: (B, K, 4) float, offsets of the matched objects; read at positive boxes only.
        gt_mb_labels: (B, K) int. 0 is background, 1 to C - 1 a class; -1 ignores a box: it is
            neither positive nor negative.
        k: hard negatives per positive of the same image, >= 0; may be fractional, 3 in the paper.
        comm: a ChainerMN communicator, or None. With it the positives of all processes are
            counted, and the mean over processes of the losses and of the gradients is that of the
            whole batch. On GPUs its MPI has to be CUDA-aware, because the count stays there.

    Returns:
        ``(loc_loss, conf_loss)``: two scalar Variables, each divided by the number of positive
        boxes. float32, or float64 for float64 predictions.

    Raises:
        ValueError: wrong rank or shape, labels that are no integers, below -1 or not below C, or a
            negative ``k``. Values of labels on a GPU are checked in Chainer's debug mode only,
            because reading them waits for the GPU.
    """
    mb_locs, mb_confs = chainer.as_variable(mb_locs), chainer.as_variable(mb_confs)
    gt_mb_locs = chainer.as_variable(gt_mb_locs).array
    gt_mb_labels = chainer.as_variable(gt_mb_labels).array
    _check(mb_locs, mb_confs, gt_mb_locs, gt_mb_labels, k)
    with cuda.get_device_from_array(gt_mb_labels):
        positive = gt_mb_labels > 0
        loc_loss = smooth_l1(mb_locs, gt_mb_locs, positive)
        conf_loss = softmax_cross_entropy(mb_confs, gt_mb_labels)
        negative = hard_negatives(conf_loss.array, positive, k, ignored=gt_mb_labels < 0)
        n_positive = mean_count(positive, loc_loss.dtype, comm)
        return (total(loc_loss, positive) / n_positive,
                total(conf_loss, positive | negative) / n_positive.astype(conf_loss.dtype))


def _check(mb_locs, mb_confs, gt_mb_locs, gt_mb_labels, k):
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
        raise ValueError(f'k, the negatives per positive, must be >= 0, got {k}')
    on_cpu = isinstance(gt_mb_labels, np.ndarray)
    if gt_mb_labels.size and (on_cpu or chainer.is_debug()):
        lowest, highest = int(gt_mb_labels.min()), int(gt_mb_labels.max())
        if highest >= C or lowest < -1:
            raise ValueError(f'gt_mb_labels must lie in -1 to C - 1 = {C - 1}, '
                             f'got {lowest} to {highest}')
