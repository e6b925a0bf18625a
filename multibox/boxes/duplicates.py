"""Boxes that nearly coincide: only the first of them is kept."""
from multibox.boxes.geometry import floating, is_proper

import numpy as np

PAIRS = 2 ** 18  # pairs of boxes compared at once
SLANT = 1.7  # boxes are sorted along x + SLANT y, where few boxes of a grid share a place
SLACK = 1e-4  # relative, for rounding in float32
ROUNDING = 1e-9  # of a key, which is a class of size plus a place from 0 to 0.5
TINY = 1e-30  # smallest extent of all places, for boxes that coincide


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
    bbox = floating(bbox)
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
    n_pair = np.concatenate(([0], count.sum(axis=0)[by_rank].cumsum()))
    stop = 0
    while stop < len(by_rank):
        start, limit = stop, n_pair[stop] + PAIRS
        stop = max(start + 1, int(n_pair.searchsorted(limit, 'right')) - 1)
        block = by_rank[start:stop]
        block = block[kept[candidate[block]]]
        one = candidate[block.repeat(2).repeat(count[:, block].T.reshape(-1))]
        other = candidate[_ranges(first[:, block].T.reshape(-1), count[:, block].T.reshape(-1))]
        behind = kept[other] & (rank[other] > rank[one])
        one, other = one[behind], other[behind]
        near = _iou(bbox[one].T, bbox[other].T) > threshold
        _drop(kept, one[near], other[near])
    return kept


def _places(bbox, threshold):
    """For each box a key of its size and place, its reach, and the step to the next class of size.

    Where IoU > t, the quotient of the areas is above t. Both boxes then are in one class of size,
    or each is in the class that is next to the other. The quotient of the sides is above t as well,
    and corners are apart by less than 1 - t of a side.
    """
    height, width = (bbox[:, 2:] - bbox[:, :2]).T
    place = bbox[:, 1] + SLANT * bbox[:, 0]
    scale = .5 / max(np.ptp(place), TINY)  # places take half of the room between two classes
    place = (place - place.min()) * scale
    if threshold < .5:  # any box may coincide with any other, whatever their sizes
        return place, np.full(len(bbox), 1.), np.full(len(bbox), 9)
    size_class = np.log(height * width) / (2 * (SLACK - np.log(threshold)))
    step = np.where(size_class % 1 < .5, -1, 1)
    reach = (width + SLANT * height) * ((1 - threshold) / threshold + SLACK) * scale
    return np.floor(size_class) + place, reach + ROUNDING, step


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
