"""Ground truth as the PyTorch implementations pass it, matched with default boxes."""
from multibox import matching

import chainer
from chainer.backends import cuda


def match_targets(targets, priors, match, variance=(0.1, 0.2)):
    """Match and encode a batch.

    Args:
        targets: list of B (R, 5) float arrays or Variables: xmin, ymin, xmax, ymax in the unit of
            ``priors``, and the class from 0. R may be 0 and differ between images.
        priors: (K, 4) float array or Variable, cx, cy, w, h.
        match: function of the (K, R) IoU that gives the matched objects, see
            :mod:`multibox.matching`.
        variance: divisors of the offsets of centre and size.

    Returns:
        ``(gt_mb_locs, gt_mb_labels)``: (B, K, 4) float32 offsets (dx, dy, dw, dh) and (B, K) int32
        labels, 0 for background. Both are finite, whatever the boxes.

    Raises:
        ValueError: an array has another shape.
    """
    priors = chainer.as_variable(priors).array
    if priors.ndim != 2 or priors.shape[1] != 4:
        raise ValueError(f'priors must be (K, 4), got {priors.shape}')
    xp = cuda.get_array_module(priors)
    matched = []
    for i, target in enumerate(targets):
        target = chainer.as_variable(target).array
        if target.ndim != 2 or target.shape[1] != 5:
            raise ValueError(f'targets[{i}] must be (R, 5): xmin, ymin, xmax, ymax, label; '
                             f'got {target.shape}')
        index = match(matching.iou_with_default_boxes(priors, target[:, :4]))
        matched.append(matching.encode(
            target[:, :4], target[:, 4].astype('i'), index, priors, variance))
    return tuple(map(xp.stack, zip(*matched)))
