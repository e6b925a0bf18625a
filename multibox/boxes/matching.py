"""The matching rules: the object of each default box (Liu et al., ECCV 2016, sec. 2.2).

A rule takes the (K, R) IoU of K default boxes with R objects and a threshold. It returns a (K,)
int32 array with the index of the object per default box, and -1 for background.
"""
from collections.abc import Callable

from multibox.typing import Array

import numpy as np
from chainer.backends import cuda


def match_bipartite(iou: Array, threshold: float = 0.5) -> Array:
    """The rule of Caffe and ChainerCV: greedy one-to-one matching, then the threshold.

    The largest IoU of the table pairs a default box with an object, and both leave the table.
    This step repeats until no object is left. Every object therefore keeps a box of its own, even
    where several objects have the same best box. An object whose largest IoU is at most 1e-6 stays
    unmatched.

    Args:
        iou: (K, R) float array.
        threshold: a box without an object is then matched to the object with which it has the
            largest IoU, if that IoU is at least this.

    Returns:
        (K,) int32 array, the index of the matched object, -1 for background.
    """
    xp = cuda.get_array_module(iou)
    index = _match_largest(iou, lambda largest: largest >= threshold)
    table = iou.T.copy()
    box, overlap = cuda.to_cpu(table.argmax(axis=1)), cuda.to_cpu(table.max(axis=1))
    objects = np.flatnonzero(overlap > 1e-6)
    if len(set(box[objects].tolist())) == len(objects):  # each gets its best box, in any order
        index[xp.asarray(box[objects])] = xp.asarray(objects)
        return index
    for _ in range(min(iou.shape)):
        j = int(overlap.argmax())
        if overlap[j] <= 1e-6:  # as in ChainerCV
            break
        taken = box[j]
        index[taken] = j
        table[:, taken] = 0
        overlap[j] = 0
        for other in np.flatnonzero((box == taken) & (overlap > 0)):
            box[other] = int(table[other].argmax())
            overlap[other] = float(table[other, box[other]])
    return index


def match_forced(iou: Array, threshold: float = 0.5) -> Array:
    """The rule of ssd.pytorch: the best box of each object is forced, then the threshold.

    If two objects have the same best box, the later object gets it, and the earlier one may end
    without any box. An object that overlaps no default box gets the first default box.

    Args:
        iou: (K, R) float array.
        threshold: any other box is matched to the object with which it has the largest IoU, if
            that IoU is at least this.

    Returns:
        (K,) int32 array, the index of the matched object, -1 for background.
    """
    return _force_best(iou, _match_largest(iou, lambda largest: largest >= threshold))


def match_forced_above(iou: Array, threshold: float = 0.5) -> Array:
    """The rule of super-gradients: :func:`match_forced` with IoUs strictly above the threshold."""
    return _force_best(iou, _match_largest(iou, lambda largest: largest > threshold))


def match_forced_first(iou: Array, threshold: float = 0.5) -> Array:
    """The rule of TensorFlow's Object Detection API: of two objects with one best box, the first.

    Otherwise this is :func:`match_forced`.
    """
    return _force_best(iou, _match_largest(iou, lambda largest: largest >= threshold), last=False)


def match_above(iou: Array, threshold: float = 0.5) -> Array:
    """The rule of SSD-Tensorflow: IoUs strictly above the threshold, and nothing is forced.

    An object that no default box overlaps enough stays without a box.
    """
    return _match_largest(iou, lambda largest: largest > threshold)


def match_above_or_best(iou: Array, threshold: float = 0.5) -> Array:
    """The rule of rykov8/ssd_keras: an object with no IoU above the threshold claims its best box.

    A box that several objects claim goes to the object with the largest IoU, so an object may end
    without any box. Arguments and result are those of :func:`match_forced`.
    """
    xp = cuda.get_array_module(iou)
    lost = ~(iou > threshold).any(axis=0)
    best = xp.arange(len(iou))[:, None] == iou.argmax(axis=0) if len(iou) else iou > 0
    claims = xp.where((iou > threshold) | (best & lost), iou, -1)
    return _match_largest(claims, lambda largest: largest > 0)


RULES: dict[str, Callable[..., Array]] = {
    'bipartite': match_bipartite, 'forced': match_forced, 'forced_above': match_forced_above,
    'forced_first': match_forced_first, 'above': match_above, 'above_or_best': match_above_or_best}


def ignore_near_misses(index: Array, iou: Array, neg_overlap: float) -> Array:
    """Caffe's ``neg_overlap``: background boxes that overlap an object are no negatives.

    Args:
        index: (K,) int array, the result of a matching rule.
        iou: (K, R) float array.
        neg_overlap: a background box is ignored if its IoU with any object is at least this.

    Returns:
        (K,) int32 array: ``index`` with -2 for ignored boxes.
    """
    if iou.shape[1] == 0:
        return index
    xp = cuda.get_array_module(iou)
    near = (index == -1) & (iou.max(axis=1) >= neg_overlap)
    return xp.where(near, -2, index).astype(np.int32)


def _match_largest(iou, is_match):
    """Match each box to the object with the largest IoU, if that IoU passes ``is_match``."""
    xp = cuda.get_array_module(iou)
    if iou.shape[1] == 0:
        return xp.full(len(iou), -1, np.int32)
    index = xp.full(len(iou), -1, np.int32)
    matched = is_match(iou.max(axis=1))
    index[matched] = iou[matched].argmax(axis=1)
    return index


def _force_best(iou, index, last=True):
    """Match each object to its best box; ``last``: of objects with one best box, the last wins."""
    if iou.shape[1]:
        best_box, overlap = cuda.to_cpu(iou.argmax(axis=0)), cuda.to_cpu(iou.max(axis=0))
        objects = np.flatnonzero(overlap >= 0)
        for j in objects if last else objects[::-1]:  # CuPy leaves the order of writes open
            index[best_box[j]] = j
    return index
