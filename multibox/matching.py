"""Matching: which default box answers for which object, and the offsets between the two.

Liu et al., ECCV 2016, sec. 2.2 (matching) and Eq. 2 (offsets).
"""
import numpy as np
from chainer.backends import cuda


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


def floating(bbox):
    """Boxes of any number type as float32, or float64 where that is what holds them."""
    return bbox.astype(np.result_type(bbox.dtype, np.float32), copy=False)


def is_proper(bbox):
    """Which boxes have an area: sides from 1e-15 and coordinates up to 1e15, whatever the unit.

    Within these bounds neither areas nor offsets leave float32, so no target is ever infinite.

    Args:
        bbox: (R, 4) float array of corners, x or y first.

    Returns:
        (R,) bool array; False for a box of zero area, an inverted one, nan and inf.
    """
    with np.errstate(invalid='ignore', over='ignore'):
        size = bbox[:, 2:] - bbox[:, :2]
    return (size >= 1e-15).all(axis=1) & (abs(bbox) <= 1e15).all(axis=1)


def iou_with_default_boxes(default_bbox, bbox):
    """Intersection over union of every default box with every object.

    Args:
        default_bbox: (K, 4) float array (center_y, center_x, height, width) in pixels.
        bbox: (R, 4) float array (y_min, x_min, y_max, x_max) in pixels.

    Returns:
        (K, R) float array; -1 for an object that is not proper, see :func:`is_proper`: no rule
        below matches it.
    """
    xp = cuda.get_array_module(default_bbox)
    default_bbox = floating(default_bbox)
    bbox = bbox.astype(default_bbox.dtype)
    proper = is_proper(bbox)
    # Coordinate by coordinate in rows of K: an axis of 2 or 4 is no axis to run along.
    y, x, height, width = default_bbox.T.copy()
    y_min, x_min, y_max, x_max = y - height / 2, x - width / 2, y + height / 2, x + width / 2
    top, left, bottom, right = xp.where(proper[:, None], bbox, 0).T[:, :, None]  # (R, 1) each
    iou = xp.minimum(y_max, bottom)
    iou -= xp.maximum(y_min, top)
    width = xp.minimum(x_max, right)
    width -= xp.maximum(x_min, left)
    iou = xp.maximum(iou, 0, out=iou)
    iou *= xp.maximum(width, 0, out=width)
    union = xp.add((y_max - y_min) * (x_max - x_min), (bottom - top) * (right - left), out=width)
    union -= iou
    iou /= union
    iou[~proper] = -1
    return iou.T


def match_bipartite(iou, threshold=0.5):
    """ChainerCV's and Caffe's rule: greedy one to one first, then every box from the threshold on.

    The largest overlap of the table pairs its box with its object, both leave the table, and so on
    until no object is left: so each object has a box of its own, however many claim the same one.

    Args:
        iou: (K, R) float array.
        threshold: a box left over is matched to the object it overlaps most, from this IoU on.

    Returns:
        (K,) int32 array, the index of the matched object, -1 for background.
    """
    index = _match_best(iou, lambda best: best >= threshold)
    table = iou.T.copy()
    box, overlap = cuda.to_cpu(table.argmax(axis=1)), cuda.to_cpu(table.max(axis=1))
    for _ in range(min(iou.shape)):
        j = int(overlap.argmax())
        if overlap[j] <= 1e-6:  # ChainerCV's zero: an object without any overlap stays unmatched
            break
        taken = box[j]
        index[taken] = j
        table[:, taken] = 0
        overlap[j] = 0
        for other in np.flatnonzero((box == taken) & (overlap > 0)):
            box[other] = int(table[other].argmax())
            overlap[other] = float(table[other, box[other]])
    return index


def match_forced(iou, threshold=0.5):
    """ssd.pytorch's rule: each object's best box is its own, and every box from the threshold on.

    Of two objects with the same best box the later one has it, and the earlier may be left with
    none. An object that overlaps no box at all has the first one.

    Args:
        iou: (K, R) float array.
        threshold: IoU from which any box is matched to the object it overlaps most.

    Returns:
        (K,) int32 array, the index of the matched object, -1 for background.
    """
    return _force(iou, _match_best(iou, lambda best: best >= threshold))


def match_forced_above(iou, threshold=0.5):
    """super-gradients' rule: :func:`match_forced`, but an IoU of the threshold is not enough."""
    return _force(iou, _match_best(iou, lambda best: best > threshold))


RULES = {'bipartite': match_bipartite, 'forced': match_forced, 'forced_above': match_forced_above}


def _match_best(iou, is_match):
    """Match each box to the object it overlaps most, where that overlap passes ``is_match``."""
    xp = cuda.get_array_module(iou)
    if iou.shape[1] == 0:
        return xp.full(len(iou), -1, np.int32)
    index = xp.full(len(iou), -1, np.int32)
    matched = is_match(iou.max(axis=1))
    index[matched] = iou[matched].argmax(axis=1)
    return index


def _force(iou, index):
    if iou.shape[1]:
        best_box, overlap = cuda.to_cpu(iou.argmax(axis=0)), cuda.to_cpu(iou.max(axis=0))
        for j in np.flatnonzero(overlap >= 0):  # one by one: CuPy leaves the order of writes open
            index[best_box[j]] = j
    return index


def ignore_near_misses(index, iou, neg_overlap):
    """Caffe's ``neg_overlap``: boxes too close to an object to serve as negatives.

    Args:
        index: (K,) int array of a rule above.
        iou: (K, R) float array.
        neg_overlap: a background box of at least this IoU with any object is ignored.

    Returns:
        (K,) int32 array, as ``index`` with -2 at the ignored boxes.
    """
    if iou.shape[1] == 0:
        return index
    xp = cuda.get_array_module(iou)
    near = (index == -1) & (iou.max(axis=1) >= neg_overlap)
    return xp.where(near, -2, index).astype(np.int32)


def offsets(bbox, default_bbox, variance=(0.1, 0.2)):
    """Eq. 2's g: where a box lies, seen from a default box.

    Args:
        bbox: (K, 4) float array (center_y, center_x, height, width), sizes above 0.
        default_bbox: (K, 4) float array of the same order.
        variance: divisors of the offsets of centre and size; SSD's are (0.1, 0.2).

    Returns:
        (K, 4) array (dy, dx, dh, dw), or x first if the boxes are.
    """
    xp = cuda.get_array_module(default_bbox)
    size = default_bbox[:, 2:]
    return xp.concatenate(((bbox[:, :2] - default_bbox[:, :2]) / (size * variance[0]),
                           xp.log(bbox[:, 2:] / size) / variance[1]), axis=1)


def encode(bbox, label, index, default_bbox, variance=(0.1, 0.2)):
    """Targets of the loss for one image.

    Args:
        bbox: (R, 4) float array (y_min, x_min, y_max, x_max) in pixels.
        label: (R,) int array, classes from 0.
        index: (K,) int array, the matched object of each default box, -1 for background, -2 for
            a box to ignore.
        default_bbox: (K, 4) float array (center_y, center_x, height, width) in pixels.
        variance: divisors of the offsets of centre and size; SSD's are (0.1, 0.2).

    Returns:
        ``(mb_loc, mb_label)``: (K, 4) float32 offsets (dy, dx, dh, dw), 0 without an object, and
        (K,) int32, 0 for background, -1 for ignored and else the class plus 1. Always finite: a box
        matched to an object that is not proper is background.
    """
    xp = cuda.get_array_module(default_bbox)
    default_bbox = floating(default_bbox)
    mb_loc = xp.zeros(default_bbox.shape, np.float32)
    mb_label = xp.where(index == -2, -1, 0).astype(np.int32)
    if len(bbox):
        bbox = bbox.astype(default_bbox.dtype)
        positive = (index >= 0) & is_proper(bbox)[xp.maximum(index, 0)]
        matched = index[positive]
        mb_loc[positive] = offsets(to_center(bbox[matched]), default_bbox[positive], variance)
        mb_label[positive] = label[matched] + 1
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
    default_size = default_bbox[:, 2:]
    center = default_bbox[:, :2] + mb_loc[:, :2] * variance[0] * default_size
    size = default_size * xp.exp(mb_loc[:, 2:] * variance[1])
    lowest = center - size / 2
    return xp.concatenate((lowest, lowest + size), axis=1)  # as ChainerCV rounds it
