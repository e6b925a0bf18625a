"""Losses that include the matching, like the original losses in PyTorch and in Caffe."""
from collections.abc import Callable, Sequence

from multibox.boxes.geometry import iou_with_default_boxes
from multibox.boxes.offsets import encode
from multibox.losses.inputs import as_array, as_prediction, on_one_device, unpack
from multibox.typing import Array, ArrayOrVariable

import chainer
import numpy as np
from chainer.backends import cuda


class MatchingLoss:
    """Matches the objects of a batch, then calls a loss of matched boxes.

    Args:
        match: function from the (K, R) IoU to the matched objects, see :mod:`multibox.matching`.
        multibox_loss: function of (locs, confs, gt_mb_locs, gt_mb_labels), shapes below.
        num_classes: C, with the background, or None for any number.
        variance: divisors of the offsets of centre and size.
    """

    def __init__(self, match: Callable[..., Array],
                 multibox_loss: Callable[..., tuple[chainer.Variable, chainer.Variable]],
                 num_classes: int | None = None, variance: tuple = (0.1, 0.2)):
        self.match, self.multibox_loss = match, multibox_loss
        self.num_classes, self.variance = num_classes, variance

    def __call__(self, predictions: tuple[ArrayOrVariable, ArrayOrVariable, ArrayOrVariable],
                 targets: Sequence[ArrayOrVariable]) -> tuple[chainer.Variable, chainer.Variable]:
        """Match, mine and normalise.

        Args:
            predictions: ``(locs, confs, priors)``: (B, K, 4) float offsets (dx, dy, dw, dh),
                (B, K, C) float logits, class 0 the background, and (K, 4) float boxes
                (cx, cy, w, h); arrays or Variables, like the targets.
            targets: list of B (R, 5) arrays: xmin, ymin, xmax, ymax in the unit of the priors, and
                the class from 0. R may be 0. An object without an area is left out.

        Returns:
            ``(loss_l, loss_c)``: two scalar Variables, 0 if nothing is matched.

        Raises:
            TypeError: as :func:`multibox.multibox_loss`, or ``predictions`` or ``targets`` is no
                sequence.
            ValueError: wrong shapes, the numbers of targets and images differ, or C is not
                ``num_classes``.
        """
        locs, confs, priors = unpack('predictions', predictions, ('locs', 'confs', 'priors'))
        confs = as_prediction('confs', confs)
        if self.num_classes not in (None, confs.shape[-1]):
            raise ValueError(f'confs must be (B, K, num_classes = {self.num_classes}), '
                             f'got {confs.shape}')
        locs = as_prediction('locs', locs)
        for name, prediction in ('locs', locs), ('confs', confs):
            if prediction.ndim != 3:
                raise ValueError(f'{name} must be (B, K, 4 or C), got {prediction.shape}')
        on_one_device(locs=locs, confs=confs, priors=priors)
        if not hasattr(targets, '__len__'):
            raise TypeError(f'targets must be a list of B = {len(locs)} arrays, '
                            f'got {type(targets).__name__}')
        if len(targets) != len(locs):
            raise ValueError(f'targets must be a list of B = {len(locs)} arrays, '
                             f'got {len(targets)}')
        if len(priors) < locs.shape[1]:
            raise ValueError(f'priors must be (K, 4) with K = {locs.shape[1]} of locs, '
                             f'got {priors.shape}')
        priors = priors[:locs.shape[1]]  # as ssd.pytorch, which repeats its boxes for each GPU
        gt_mb_locs, gt_mb_labels = match_targets(targets, priors, self.match, self.variance)
        if isinstance(gt_mb_labels, np.ndarray) and gt_mb_labels.max(initial=0) >= confs.shape[-1]:
            raise ValueError(f'targets hold class {gt_mb_labels.max() - 1}, and confs '
                             f'{confs.shape} know 0 to {confs.shape[-1] - 2} and the background')
        return self.multibox_loss(locs, confs, gt_mb_locs, gt_mb_labels)


def match_targets(targets: Sequence[ArrayOrVariable], priors: ArrayOrVariable,
                  match: Callable[..., Array], variance: tuple = (0.1, 0.2)
                  ) -> tuple[Array, Array]:
    """Match and encode a batch; arguments as for :class:`MatchingLoss`.

    Returns:
        ``(gt_mb_locs, gt_mb_labels)``: (B, K, 4) float32 offsets (dx, dy, dw, dh) and (B, K) int32
        labels, 0 for background, -1 for ignored. Offsets are finite, whatever the boxes.

    Raises:
        ValueError: an array has another shape, or (checked on a CPU only) a class is below 0.
    """
    priors = as_array('priors', priors)
    if priors.ndim != 2 or priors.shape[1] != 4:
        raise ValueError(f'priors must be (K, 4), got {priors.shape}')
    matched = []
    xp = cuda.get_array_module(priors)
    if not len(targets):
        return xp.zeros((0, len(priors), 4), np.float32), xp.zeros((0, len(priors)), np.int32)
    for i, target in enumerate(targets):
        if not hasattr(target, 'dtype'):
            raise ValueError(f'targets[{i}] must be an array (R, 5), (0, 5) without objects; '
                             f'got {type(target).__name__}')
        on_one_device(priors=priors, **{f'targets[{i}]': target})
        target = as_array(f'targets[{i}]', target)
        if target.ndim != 2 or target.shape[1] != 5:
            raise ValueError(f'targets[{i}] must be (R, 5): xmin, ymin, xmax, ymax, label; '
                             f'got {target.shape}')
        bbox, label = target[:, :4], target[:, 4].astype('i')
        if isinstance(label, np.ndarray) and (label < 0).any():
            raise ValueError(f'targets[{i}]: classes count from 0, got {label.min()}')
        index = match(iou_with_default_boxes(priors, bbox))
        matched.append(encode(bbox, label, index, priors, variance))
    return tuple(map(xp.stack, zip(*matched)))
