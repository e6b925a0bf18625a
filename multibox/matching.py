"""Matching of objects with default boxes, and their offsets; the code is in ``multibox.boxes``."""
from multibox.boxes.geometry import (
    floating,
    iou_with_default_boxes,
    is_proper,
    to_center,
    to_corners,
)
from multibox.boxes.matching import (
    RULES,
    ignore_near_misses,
    match_above,
    match_above_or_best,
    match_bipartite,
    match_forced,
    match_forced_above,
    match_forced_first,
)
from multibox.boxes.offsets import decode, encode, offsets

__all__ = ['RULES', 'decode', 'encode', 'floating', 'ignore_near_misses', 'iou_with_default_boxes',
           'is_proper', 'match_above', 'match_above_or_best', 'match_bipartite', 'match_forced',
           'match_forced_above', 'match_forced_first', 'offsets', 'to_center', 'to_corners']
