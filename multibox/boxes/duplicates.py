"""Boxes that nearly coincide: only the first of them is kept."""
import numpy as np

BLOCK = 512  # boxes compared with their neighbours at once
SLANT = 1.7  # boxes are sorted along x + SLANT y, where few boxes of a grid share a place
SLACK = 1e-4  # relative, for rounding in float32


def distinct(bbox: np.ndarray, order: np.ndarray, threshold: float) -> np.ndarray:
    """Keep the first of each group of boxes whose IoU exceeds a threshold.

    The result is that of greedy non-maximum suppression. The search is fast for thresholds near 1,
    because such boxes have neighbouring corners.

    Args:
        bbox: (K, 4) float array (y_min, x_min, y_max, x_max); a box with nan coincides with none.
        order: (K,) int array, the indices of the boxes in the order in which they are kept.
        threshold: IoU from 0 to 1; a box is dropped if its IoU with a kept one is larger.

    Returns:
        (K,) bool array, True for a kept box.
    """
    kept = np.ones(len(bbox), bool)
    if threshold >= 1:
        return kept
    rank = np.empty(len(order), int)
    rank[order] = np.arange(len(order))
    with np.errstate(all='ignore'):  # nan and infinity coincide with nothing
        place = bbox[:, 1] + SLANT * bbox[:, 0]
        size = bbox[:, 3] - bbox[:, 1] + SLANT * (bbox[:, 2] - bbox[:, 0])
        # Where IoU > t, both sides of both boxes are alike up to t, and corners up to 1 - t of it.
        reach = size * ((1 - threshold) / max(threshold, SLACK) + SLACK)
        by_place = place.argsort()
        sorted_place = place[by_place]
        for start in range(0, len(order), BLOCK):
            block = order[start:start + BLOCK]
            block = block[kept[block]]
            first = sorted_place.searchsorted(place[block] - reach[block])
            n = sorted_place.searchsorted(place[block] + reach[block], 'right') - first
            one = block.repeat(n)
            other = by_place[_ranges(first, n)]
            behind = kept[other] & (rank[other] > rank[one])
            one, other = one[behind], other[behind]
            near = _iou(bbox[one].T, bbox[other].T) > threshold
            _drop(kept, one[near], other[near])
    return kept


def _ranges(first, n):
    """The numbers from ``first`` on, ``n`` of each, one after another."""
    ends = n.cumsum()
    return np.arange(n.sum()) + (first - ends + n).repeat(n)


def _iou(one, other):
    height, width = (np.minimum(one[i + 2], other[i + 2]) - np.maximum(one[i], other[i])
                     for i in (0, 1))
    inter = height.clip(0, None) * width.clip(0, None)
    area, other_area = ((box[2] - box[0]) * (box[3] - box[1]) for box in (one, other))
    return inter / (area + other_area - inter)


def _drop(kept, one, other):
    """Drop the second of each pair whose first is kept; the pairs are sorted by their first."""
    starts = np.flatnonzero(np.r_[True, one[1:] != one[:-1]][:len(one)])
    for start, stop in zip(starts, np.r_[starts[1:], len(one)]):
        if kept[one[start]]:
            kept[other[start:stop]] = False
