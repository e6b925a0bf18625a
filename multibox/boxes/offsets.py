"""Offsets between objects and default boxes: Eq. 2 of Liu et al., ECCV 2016, and its inverse."""
from multibox.boxes.geometry import floating, is_proper, to_center
from multibox.typing import Array

import numpy as np
from chainer.backends import cuda


def offsets(bbox: Array, default_bbox: Array, variance: tuple = (0.1, 0.2)) -> Array:
    """The targets g of Eq. 2: position and size of each box relative to its default box.

    Args:
        bbox: (K, 4) float array (center_y, center_x, height, width), sizes above 0.
        default_bbox: (K, 4) float array of the same order.
        variance: divisors of the offsets of centre and size; SSD uses (0.1, 0.2).

    Returns:
        (K, 4) float array (dy, dx, dh, dw), x first if the boxes have x first.
    """
    xp = cuda.get_array_module(default_bbox)
    size = default_bbox[:, 2:]
    return xp.concatenate(((bbox[:, :2] - default_bbox[:, :2]) / (size * variance[0]),
                           xp.log(bbox[:, 2:] / size) / variance[1]), axis=1)


def encode(bbox: Array, label: Array, index: Array, default_bbox: Array,
           variance: tuple = (0.1, 0.2),
           out: tuple[Array, Array] | None = None) -> tuple[Array, Array]:
    """Targets of the loss for one image.

    Args:
        bbox: (R, 4) float array (y_min, x_min, y_max, x_max) in pixels.
        label: (R,) int array, classes from 0.
        index: (K,) int array, the matched object of each default box, -1 for background, -2 for
            a box to ignore.
        default_bbox: (K, 4) float array (center_y, center_x, height, width) in pixels.
        variance: divisors of the offsets of centre and size; SSD uses (0.1, 0.2).
        out: arrays of the shapes and dtypes of the result, to write it into.

    Returns:
        ``(mb_loc, mb_label)``: (K, 4) float32 offsets (dy, dx, dh, dw), 0 without an object, and
        (K,) int32 labels: 0 for background, -1 for ignored, else the class plus 1. Offsets are
        always finite: a box that is matched to an object without an area becomes background.
    """
    xp = cuda.get_array_module(default_bbox)
    default_bbox = floating(default_bbox)
    mb_loc, mb_label = out or (xp.empty(default_bbox.shape, np.float32),
                               xp.empty(len(default_bbox), np.int32))
    mb_loc[:] = 0
    mb_label[:] = 0
    mb_label[index == -2] = -1
    if len(bbox):
        bbox = bbox.astype(default_bbox.dtype)
        positive = xp.flatnonzero(index >= 0)
        positive = positive[is_proper(bbox)[index[positive]]]
        matched = index[positive]
        mb_loc[positive] = offsets(to_center(bbox[matched]), default_bbox[positive], variance)
        mb_label[positive] = label[matched] + 1
    return mb_loc, mb_label


def decode(mb_loc: Array, default_bbox: Array, variance: tuple = (0.1, 0.2)) -> Array:
    """Undo the offsets of :func:`encode`.

    Args:
        mb_loc: (..., K, 4) float array (dy, dx, dh, dw).
        default_bbox: (K, 4) float array (center_y, center_x, height, width) in pixels.
        variance: as for :func:`encode`.

    Returns:
        (..., K, 4) float array (y_min, x_min, y_max, x_max) in pixels.
    """
    xp = cuda.get_array_module(mb_loc)
    default_size = default_bbox[:, 2:]
    center = default_bbox[:, :2] + mb_loc[..., :2] * variance[0] * default_size
    size = default_size * xp.exp(mb_loc[..., 2:] * variance[1])
    lowest = center - size / 2
    return xp.concatenate((lowest, lowest + size), axis=-1)  # rounded as in ChainerCV
