"""Matching: which default box answers for which object, and the offsets between the two.

Liu et al., ECCV 2016, sec. 2.2 (matching) and Eq. 2 (offsets).
"""
import numpy as np
from chainer.backends import cuda
from chainercv.utils import bbox_iou


def to_corners(bbox):
    """(N, 4) boxes (center_y, center_x, height, width) to (y_min, x_min, y_max, x_max)."""
    xp = cuda.get_array_module(bbox)
    half = bbox[:, 2:] / 2
    return xp.concatenate((bbox[:, :2] - half, bbox[:, :2] + half), axis=1)


def to_center(bbox):
    """(N, 4) boxes (y_min, x_min, y_max, x_max) to (center_y, center_x, height, width)."""
    xp = cuda.get_array_module(bbox)
    size = bbox[:, 2:] - bbox[:, :2]
    return xp.concatenate((bbox[:, :2] + size / 2, size), axis=1)


def iou_with_default_boxes(default_bbox, bbox):
    """Intersection over union of every default box with every object.

    Args:
        default_bbox: (K, 4) float array (center_y, center_x, height, width) in pixels.
        bbox: (R, 4) float array (y_min, x_min, y_max, x_max) in pixels.

    Returns:
        (K, R) array of the dtype of ``default_bbox``.
    """
    return bbox_iou(to_corners(default_bbox), bbox.astype(default_bbox.dtype))


def match_bipartite(iou, threshold=0.5):
    """ChainerCV's and Caffe's rule: greedy one to one first, then every box above the threshold.

    The largest overlap of the table pairs its box with its object, both leave the table, and so on
    until no object is left: so each object has a box of its own, however many claim the same one.

    Args:
        iou: (K, R) float array.
        threshold: a box left over is matched to the object it overlaps most, from this IoU on.

    Returns:
        (K,) int32 array, the index of the matched object, -1 for background.
    """
    xp = cuda.get_array_module(iou)
    if iou.shape[1] == 0:
        return xp.full(len(iou), -1, np.int32)
    best = iou.argmax(axis=1).astype(np.int32)
    index = xp.where(iou.max(axis=1) >= threshold, best, np.int32(-1))
    table = iou.copy()
    for _ in range(min(iou.shape)):
        i, j = divmod(int(table.argmax()), iou.shape[1])
        if table[i, j] <= 1e-6:  # ChainerCV's zero: an object without any overlap stays unmatched
            break
        index[i] = j
        table[i, :] = table[:, j] = 0
    return index


def encode(bbox, label, index, default_bbox, variance=(0.1, 0.2)):
    """Targets of the loss for one image.

    Args:
        bbox: (R, 4) float array (y_min, x_min, y_max, x_max) in pixels, with positive areas.
        label: (R,) int array, classes from 0.
        index: (K,) int array, the matched object of each default box, -1 for background.
        default_bbox: (K, 4) float array (center_y, center_x, height, width) in pixels.
        variance: divisors of the offsets of centre and size; SSD's are (0.1, 0.2).

    Returns:
        ``(mb_loc, mb_label)``: (K, 4) float32 offsets (dy, dx, dh, dw), 0 for background, and
        (K,) int32, 0 for background and else the class plus 1.
    """
    xp = cuda.get_array_module(default_bbox)
    mb_loc = xp.zeros(default_bbox.shape, np.float32)
    mb_label = xp.zeros(len(default_bbox), np.int32)
    if len(bbox):
        positive = index >= 0
        matched = to_center(bbox.astype(default_bbox.dtype))[index[positive]]
        default = default_bbox[positive]
        mb_loc[positive] = xp.concatenate((
            (matched[:, :2] - default[:, :2]) / (default[:, 2:] * variance[0]),
            xp.log(matched[:, 2:] / default[:, 2:]) / variance[1]), axis=1)
        mb_label[positive] = label[index[positive]] + 1
    return mb_loc, mb_label


def decode(mb_loc, default_bbox, variance=(0.1, 0.2)):
    """Undo the offsets of :func:`encode`.

    Args:
        mb_loc: (K, 4) float array (dy, dx, dh, dw).
        default_bbox: (K, 4) float array (center_y, center_x, height, width) in pixels.
        variance: as for :func:`encode`.

    Returns:
        (K, 4) array (y_min, x_min, y_max, x_max) in pixels.
    """
    xp = cuda.get_array_module(mb_loc)
    size = default_bbox[:, 2:]
    return to_corners(xp.concatenate((
        default_bbox[:, :2] + mb_loc[:, :2] * variance[0] * size,
        size * xp.exp(mb_loc[:, 2:] * variance[1])), axis=1))
