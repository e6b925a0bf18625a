"""Boxes that nearly coincide: only the first of them is kept."""
from multibox.boxes.geometry import is_proper

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
    candidate = np.flatnonzero(is_proper(bbox))  # any other box coincides with none
    if threshold >= 1 or not len(candidate):
        return kept
    key, reach, step = _places(bbox[candidate].astype(float), threshold)
    by_key = key.argsort()
    candidate, key, reach, step = (x[by_key] for x in (candidate, key, reach, step))
    # Each box looks into its own class of size and into the next; sorted searches are fast.
    first, last = (np.array([key.searchsorted(centre + sign * reach, side)
                             for centre in (key, key + step)])
                   for sign, side in ((-1, 'left'), (1, 'right')))
    count = last - first
    rank, at = np.empty(len(bbox), int), np.full(len(bbox), -1)
    rank[order], at[candidate] = np.arange(len(order)), np.arange(len(candidate))
    by_rank = at[order]
    by_rank = by_rank[by_rank >= 0]
    for start in range(0, len(by_rank), BLOCK):
        block = by_rank[start:start + BLOCK]
        block = block[kept[candidate[block]]]
        n = count[:, block].T.reshape(-1)
        one = candidate[block.repeat(2).repeat(n)]
        other = candidate[_ranges(first[:, block].T.reshape(-1), n)]
        behind = rank[other] > rank[one]
        one, other = one[behind], other[behind]
        near = _iou(bbox[one].T, bbox[other].T) > threshold
        _drop(kept, one[near], other[near])
    return kept


def _places(bbox, threshold):
    """For each box a key of its size and place, its reach, and the step to the next class of size.

    Where IoU > t, the areas are alike up to t, so they fall into one class of size or into the
    nearer neighbour. Both sides are alike up to t as well, and corners up to 1 - t of a side.
    """
    height, width = (bbox[:, 2:] - bbox[:, :2]).T
    threshold = max(threshold, SLACK)
    if threshold < .5:
        size_class = np.zeros(len(bbox))
    else:
        size_class = np.log(height * width) / (2 * (SLACK - np.log(threshold)))
    step = np.where(size_class % 1 < .5, -1, 1)
    place = bbox[:, 1] + SLANT * bbox[:, 0]
    scale = .5 / max(np.ptp(place), 1e-30)  # places take half of the room between two classes
    reach = (width + SLANT * height) * ((1 - threshold) / threshold + SLACK) * scale
    return np.floor(size_class) + (place - place.min()) * scale, reach + 1e-9, step


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
