"""The pixels of an augmented photograph: each step runs once, on the visible pixels only."""
from typing import Any

import cv2
import numpy as np

KERNEL = 5  # reach of every interpolation: pixels of the photograph, plus one of the result
VECTOR = 64  # columns that OpenCV computes at once; it rounds a shorter rest of a row differently


def render(img: np.ndarray, plan: Any, size: int, fill: np.ndarray) -> np.ndarray:
    """Distort, crop, fill up, resize and flip a photograph.

    Colours stay uint8 as in ChainerCV and become float32 without rounding. Over 1000 augmentations
    of the photographs of BCCD, the results differed from ChainerCV's by at most 0.00012 grey
    levels, and by 0.0000013 on average (``python -m experiments.speed.loader --data BCCD``).

    Args:
        img: (3, H, W) uint8 or float32 array, RGB, 0 to 255; fastest as a transposed (H, W, 3).
        plan: :class:`multibox.data.augmentation.Plan`.
        size: side of the square result in pixels.
        fill: (3, 1, 1) float32 array, the colour beyond the photograph.

    Returns:
        (3, size, size) float32 array.
    """
    top, left, bottom, right = plan.crop
    height, width = img.shape[1:]
    y, x = slice(max(top, 0), min(bottom, height)), slice(max(left, 0), min(right, width))
    result = np.empty((3, size, size), np.float32)
    result[:] = fill
    if y.start < y.stop and x.start < x.stop:
        seen = _distort_part(img.transpose(1, 2, 0), y, x, plan.distortions)
        scale_y, scale_x = size / (bottom - top), size / (right - left)
        # The upper and left margins keep the sampling positions; the others end where all is fill.
        margins = (max(-top, 0), min(bottom - y.stop, KERNEL + int(1 / scale_y)),
                   max(-left, 0), min(right - x.stop, KERNEL + int(1 / scale_x)))
        seen = seen.astype(np.float32)
        if any(margins):
            seen = cv2.copyMakeBorder(seen, *margins, cv2.BORDER_CONSTANT,
                                      value=fill.ravel().tolist())
        resized = cv2.resize(seen, None, fx=scale_x, fy=scale_y, interpolation=plan.interpolation)
        flipped = result[:, :, ::-1] if plan.flip else result
        for to, channel in zip(flipped, cv2.split(resized)):
            to[:len(channel), :channel.shape[1]] = channel
    return result


def _distort_part(img, y, x, distortions):
    """The rows ``y`` and columns ``x`` of the (H, W, 3) result of :func:`distort`."""
    start, stop = x.start // VECTOR * VECTOR, -(-x.stop // VECTOR) * VECTOR
    part = distort(img[y, start:stop].astype(np.uint8, copy=False), distortions)
    return part[:, x.start - start:x.stop - start]


def distort(img: np.ndarray, distortions: list) -> np.ndarray:
    """Change colours by tables of levels.

    Args:
        img: (H, W, 3) uint8 array, RGB.
        distortions: those of :class:`multibox.data.augmentation.Plan`.

    Returns:
        (H, W, 3) uint8 array.
    """
    for channel, table in distortions:
        if channel is None:
            img = cv2.LUT(img, table)
        else:
            hsv = list(cv2.split(cv2.cvtColor(img, cv2.COLOR_RGB2HSV)))
            hsv[channel] = cv2.LUT(hsv[channel], table)
            img = cv2.cvtColor(cv2.merge(hsv), cv2.COLOR_HSV2RGB)
    return img
