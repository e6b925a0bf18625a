"""Greedy non-maximum suppression per class, for an image whose classes share their boxes."""
from itertools import pairwise

from multibox.boxes.suppression_gpu import Suppression
from multibox.engines import kernels
from multibox.typing import Array

import numpy as np
from chainer.backends import cuda

BLOCK = 32  # boxes compared with others at once; this and SHARED change the speed only
SHARED = 4  # least candidates per box, over all classes, for one search that serves all classes


def suppress(bbox: Array, score: Array, nms_thresh: float | None, score_thresh: float,
             n_candidate: int | None = None) -> list[Array]:
    """Keep the best box of each group of overlapping boxes, class by class.

    The result equals that of ``chainercv.utils.non_maximum_suppression`` on a CPU. A GPU computes
    all classes in one launch, see :class:`multibox.boxes.suppression_gpu.Suppression`.

    Args:
        bbox: (R, 4) float array (y_min, x_min, y_max, x_max); a box with nan overlaps no other.
        score: (C, R) float array, one row per class.
        nms_thresh: if two boxes have at least this IoU, the one with the lower score is dropped;
            None keeps all boxes.
        score_thresh: boxes whose score is lower, or nan, are dropped.
        n_candidate: the most boxes per class that are compared, those of the highest scores; None
            for any number.

    Returns:
        C int arrays: the indices of the boxes kept per class. Scores fall, or indices rise if
        ``nms_thresh`` is None.
    """
    if kernels.is_on_gpu(bbox):
        found = Suppression(bbox[None], score[None], nms_thresh, score_thresh, n_candidate)
        return [row[:n] for row, n in zip(found.kept[0], cuda.to_cpu(found.n_kept[0]).tolist())]
    likely = [np.flatnonzero(row >= score_thresh) for row in score]
    if n_candidate is not None:
        likely = [_best(index, row[index], n_candidate) for index, row in zip(likely, score)]
    if nms_thresh is None:
        return likely
    # argsort as in ChainerCV, because the order of equal scores depends on the whole input.
    orders = [index[row[index].argsort()[::-1]] for index, row in zip(likely, score)]
    bbox = np.ascontiguousarray(bbox.T)
    with np.errstate(all='ignore'):  # nan and inf - inf overlap nothing
        if sum(map(len, orders)) < SHARED * bbox.shape[1]:
            return [order[_suppress_by_blocks(bbox.take(order, axis=1), nms_thresh)]
                    for order in orders]
        overlaps = Overlaps(bbox, nms_thresh)
        return [_suppress_by_overlaps(order, overlaps) for order in orders]


def _best(index, score, n):
    """The ``n`` indices of the highest scores, in their order."""
    if len(index) <= n:
        return index
    return index[np.sort(np.argsort(-score, kind='stable')[:n])]


def _suppress_by_blocks(bbox, thresh):
    """Find the boxes to keep among (4, R) boxes of falling score, one block after another."""
    kept, rest = [], np.arange(bbox.shape[1])
    while len(rest):
        block, rest = rest[:BLOCK], rest[BLOCK:]
        overlap = _iou(bbox, block, block) >= thresh
        free = np.ones(len(block), bool)
        for i in range(len(block)):
            if free[i]:
                free[i + 1:] &= ~overlap[i, i + 1:]
        kept.append(block[free])
        rest = rest[~(_iou(bbox, kept[-1], rest) >= thresh).any(axis=0)]
    return np.concatenate(kept) if kept else rest


def _suppress_by_overlaps(order, overlaps):
    free = np.ones(len(overlaps), bool)
    kept = []
    for i in order.tolist():
        if free[i]:
            kept.append(i)
            free[overlaps[i]] = False
    return np.array(kept, int)


class Overlaps:
    """The boxes that overlap box ``i``, including itself: ``overlaps[i]`` is an int array.

    The first access to a box compares its whole block of neighbours with the other boxes. Only
    boxes that reach into the hull of the block can overlap a box of the block. These are few, as
    default boxes are listed along the rows of their grid.

    Args:
        bbox: (4, R) float array: y_min, x_min, y_max, x_max.
        thresh: IoU from which two boxes overlap.
    """

    def __init__(self, bbox, thresh):
        self._bbox, self._thresh = bbox, thresh
        self._found = [None] * bbox.shape[1]
        # IoU >= t means intersection >= t / (1 + t) * sum of areas; 1 % covers rounding errors.
        self._share = 0.99 * thresh / (1 + thresh) * _area(bbox)

    def __len__(self):
        return len(self._found)

    def __getitem__(self, i):
        if self._found[i] is None:
            self._search(i // BLOCK * BLOCK)
        return self._found[i]

    def _search(self, start):
        block = np.arange(start, min(start + BLOCK, len(self)))
        bbox, share = self._bbox[:, block], self._share[block]
        hull = np.concatenate((np.fmin.reduce(bbox[:2], axis=1), np.fmax.reduce(bbox[2:], axis=1)))
        at_most = _intersection(hull[:, None], self._bbox)
        near = np.flatnonzero(at_most >= self._share + np.fmin.reduce(share))
        hit = np.flatnonzero(_iou(self._bbox, block, near) >= self._thresh)
        ends = hit.searchsorted(np.arange(len(block) + 1) * len(near)).tolist()
        found = near[hit % len(near)]
        self._found[start:start + BLOCK] = [found[i:j] for i, j in pairwise(ends)]


def _area(bbox):
    height, width = bbox[2:] - bbox[:2]
    return height * width


def _intersection(a, b):
    """Area shared by boxes of corners, (4, ...) each: 0 if they are apart, nan if one holds nan."""
    low = np.maximum(a[:2], b[:2])
    size = np.minimum(a[2:], b[2:])
    np.maximum(size, low, out=size)
    size -= low
    return size[0] * size[1]


def _iou(bbox, a, b):
    """(len(a), len(b)) IoU, rounded as in ChainerCV; ``a`` and ``b`` are indices of boxes."""
    a, b = bbox.take(a, axis=1)[:, :, None], bbox.take(b, axis=1)[:, None]
    intersection = _intersection(a, b)
    union = _area(a) + _area(b)
    union -= intersection
    return np.divide(intersection, union, out=union)
