"""Boxes as arrays: corners and centres, a check of their area, intersection over union."""
from multibox.typing import Array

import numpy as np
from chainer.backends import cuda


def to_corners(bbox: Array) -> Array:
    """(N, 4) float boxes (center_y, center_x, height, width) to (y_min, x_min, y_max, x_max)."""
    xp = cuda.get_array_module(bbox)
    half = bbox[:, 2:] / 2
    return xp.concatenate((bbox[:, :2] - half, bbox[:, :2] + half), axis=1)


def to_center(bbox: Array) -> Array:
    """(N, 4) float boxes (y_min, x_min, y_max, x_max) to (center_y, center_x, height, width)."""
    xp = cuda.get_array_module(bbox)
    size = bbox[:, 2:] - bbox[:, :2]
    return xp.concatenate((bbox[:, :2] + size / 2, size), axis=1)


def floating(bbox: Array) -> Array:
    """Convert boxes of any number type to float32, or to float64 if float32 cannot hold them."""
    return bbox.astype(np.result_type(bbox.dtype, np.float32), copy=False)


def is_proper(bbox: Array) -> Array:
    """Find the boxes that have an area: sides of at least 1e-15 and coordinates of at most 1e15.

    Within these bounds neither areas nor offsets leave the range of float32, so no target is
    infinite. The bounds hold in any unit.

    Args:
        bbox: (R, 4) float array of corners, x or y first.

    Returns:
        (R,) bool array. A box with zero area, an inverted box, nan and infinity give False.
    """
    with np.errstate(invalid='ignore', over='ignore'):
        size = bbox[:, 2:] - bbox[:, :2]
    return (size >= 1e-15).all(axis=1) & (abs(bbox) <= 1e15).all(axis=1)


def iou_with_default_boxes(default_bbox: Array, bbox: Array, epsilon: float = 0) -> Array:
    """Intersection over union of every default box with every object.

    The area of an object is computed in the dtype of the object, as in ChainerCV. A small object
    lies inside several default boxes with equal IoU, of which the rounding of this area chooses.

    Args:
        default_bbox: (K, 4) float array (center_y, center_x, height, width) in pixels.
        bbox: (R, 4) float array (y_min, x_min, y_max, x_max) in pixels.
        epsilon: a number that is added to the union, as some implementations do.

    Returns:
        (K, R) float array. The column of an object that is not proper, see :func:`is_proper`,
        holds -1, which no matching rule accepts.
    """
    xp = cuda.get_array_module(default_bbox)
    default_bbox = floating(default_bbox)
    proper = is_proper(bbox.astype(default_bbox.dtype))
    bbox = xp.where(proper[:, None], floating(bbox), 0)
    object_area = (bbox[:, 2] - bbox[:, 0]) * (bbox[:, 3] - bbox[:, 1])
    bbox, object_area = (x.astype(default_bbox.dtype) for x in (bbox, object_area))
    # One array of K numbers per coordinate: reductions over an axis of length 4 are slow.
    y, x, height, width = default_bbox.T.copy()
    y_min, x_min, y_max, x_max = y - height / 2, x - width / 2, y + height / 2, x + width / 2
    top, left, bottom, right = bbox.T[:, :, None]  # (R, 1) each
    iou = xp.minimum(y_max, bottom)
    iou -= xp.maximum(y_min, top)
    width = xp.minimum(x_max, right)
    width -= xp.maximum(x_min, left)
    iou = xp.maximum(iou, 0, out=iou)
    iou *= xp.maximum(width, 0, out=width)
    union = xp.add((y_max - y_min) * (x_max - x_min), object_area[:, None], out=width)
    union -= iou
    if epsilon:
        union += default_bbox.dtype.type(epsilon)
    iou /= union
    iou[~proper] = -1
    return iou.T
