"""The default boxes that the objects of an image can match, found without the whole IoU table."""
from collections.abc import Callable

from multibox.boxes.geometry import iou_with_default_boxes
from multibox.boxes.matching import RULES, match_bipartite
from multibox.typing import Array

import numpy as np

SHARE = 0.7  # of the largest IoU of an object: boxes from it on are candidates
SLACK = 1e-3  # far more than the rounding of an IoU, for sides and coordinates within the range
EVEN = 1e-11  # largest error of a centre, in steps
RANGE = 1e6  # largest ratio of two lengths, for which the rounding is far below the slack


class Grids:
    """Default boxes as S grids, one for each size of boxes.

    The boxes of a grid have one size. There is one in every row and column, at even distances.

    Args:
        default_bbox: (K, 4) float64 array (center_y, center_x, height, width) in pixels.

    Raises:
        ValueError: the boxes are no such grids.
    """

    def __init__(self, default_bbox: np.ndarray):
        sizes, number = np.unique(default_bbox[:, 2:], axis=0, return_inverse=True)
        self.extent = np.abs(default_bbox).max()
        if default_bbox.dtype != np.float64 or not (sizes * RANGE > self.extent).all():
            raise ValueError('default boxes that are tiny, or not in float64')
        grids = [_grid(default_bbox[:, :2], np.flatnonzero(number.ravel() == s))
                 for s in range(len(sizes))]
        self.first, self.step, self.last = (  # (y and x, 1, S) each
            np.transpose([grid[i] for grid in grids])[:, None] for i in range(3))
        self.half, self.area = sizes.T[:, None] / 2, sizes.prod(axis=1)
        self.boxes = np.concatenate([boxes.ravel() for *_, boxes in grids])
        self.n_column = self.last[1, 0] + 1
        n_box = (self.last[0, 0] + 1) * self.n_column
        self.start = np.cumsum(n_box) - n_box  # of a grid in ``boxes``

    def match(self, default_bbox: np.ndarray, bbox: np.ndarray, threshold: float,
              rule: Callable[..., Array]) -> np.ndarray | None:
        """Match by the IoU of the candidates alone.

        Args:
            default_bbox: those of the constructor.
            bbox: (R, 4) float array (y_min, x_min, y_max, x_max) in pixels.
            threshold: IoU from which the rule matches a box.
            rule: a function from an IoU table and a threshold to the matched objects.

        Returns:
            (K,) int32 array, the object per default box, or -1: the result of the rule on the IoU
            table of all boxes. None if the candidates do not decide it.
        """
        if rule not in RULES.values() or not threshold > 0 or not len(bbox):
            return None
        found = self.candidates(bbox, threshold)
        if found is None:
            return None
        boxes, bounds = found
        iou = iou_with_default_boxes(default_bbox[boxes], bbox)
        matched = rule(iou, threshold)
        if rule is match_bipartite:  # others may have taken all candidates of an object
            own = np.where(matched[:, None] == np.arange(len(bbox)), iou, -1).max(axis=0)
            if (own < bounds).any():
                return None
        index = np.full(len(default_bbox), -1, np.int32)
        index[boxes] = matched
        return index

    def candidates(self, bbox: np.ndarray, threshold: float
                   ) -> tuple[np.ndarray, np.ndarray] | None:
        """The boxes whose IoU with an object reaches a bound of this object, and a few more.

        The bound is the threshold, or less for an object whose largest IoU is small.

        Args:
            bbox: (R, 4) float array (y_min, x_min, y_max, x_max) in pixels.
            threshold: IoU above 0 from which a rule matches a box.

        Returns:
            ``(boxes, bounds)``: sorted indices of default boxes, box 0 always among them, and the
            (R,) bounds. None if an object has no area, or is too thin or too far for the rounding.
        """
        low, high = bbox.T.astype(np.float64).reshape(2, 2, -1, 1)  # (y and x, R, 1) each
        side = high - low
        if not ((side * RANGE > self.extent) & (abs(low) + side < RANGE * self.extent)).all():
            return None
        centre = (low + side / 2 - self.first) / self.step  # in rows and columns
        nearest = self.first + self.step * np.minimum(np.maximum(np.rint(centre), 0), self.last)
        longest = np.minimum(nearest + self.half, high) - np.maximum(nearest - self.half, low)
        longest = np.maximum(longest, 0)  # (y and x, R, S)
        overlap = longest[0] * longest[1]  # (R, S), the largest
        total = self.area + side[0] * side[1]
        bounds = np.minimum(threshold, SHARE * (overlap / (total - overlap)).max(axis=1))
        bounds *= 1 - SLACK
        least = (bounds / (1 + bounds))[:, None] * total  # the overlap whose IoU is the bound
        shortest = least / np.maximum(longest[::-1], self.extent / RANGE ** 2)
        reach = (side / 2 + self.half - shortest) / self.step + SLACK
        begin = np.maximum(np.ceil(centre - reach), 0).astype(int)
        end = np.minimum(np.floor(centre + reach), self.last).astype(int)
        n_y, n_x = np.maximum(end - begin + 1, 0).reshape(2, -1)
        # All rows and columns of all pairs of an object and a grid.
        n = n_y * n_x
        pair = np.repeat(np.arange(len(n)), n)
        place = np.arange(len(pair)) - (np.cumsum(n) - n)[pair]
        corner = self.start + begin[0] * self.n_column + begin[1]
        skipped = self.n_column - n_x.reshape(begin[0].shape)  # from a row to the next
        place += corner.ravel()[pair] + place // n_x[pair] * skipped.ravel()[pair]
        is_candidate = np.zeros(len(self.boxes), bool)
        is_candidate[self.boxes[place]] = True
        is_candidate[0] = True
        return np.flatnonzero(is_candidate), bounds


def find_grids(default_bbox: Array) -> Grids | None:
    """The grids of default boxes on the host; None for any other default boxes."""
    try:
        return Grids(default_bbox) if isinstance(default_bbox, np.ndarray) else None
    except ValueError:
        return None


def _grid(centre, index):
    """First centre (y, x), step and last number per axis; the (rows, columns) numbers of boxes."""
    axes = [np.unique(centre[index, axis], return_inverse=True) for axis in range(2)]
    (rows, y), (columns, x) = axes
    boxes = np.full((len(rows), len(columns)), -1)
    boxes[y, x] = index
    steps = [np.diff(places).mean() if len(places) > 1 else 1. for places in (rows, columns)]
    for places, step in zip((rows, columns), steps):
        if np.abs(places - (places[0] + step * np.arange(len(places)))).max() > EVEN * step:
            raise ValueError('default boxes that are not evenly spaced')
    if len(index) != boxes.size or (boxes < 0).any():
        raise ValueError('default boxes that fill no grid')
    return (rows[0], columns[0]), steps, (len(rows) - 1, len(columns) - 1), boxes
