"""The augmentation of Liu et al., ECCV 2016, sec. 2.2, with the expansion of sec. 3.6.

All random draws come first and need no pixels. :mod:`multibox.data.rendering` then makes the image
in one pass. The draws, their order and the result are those of ChainerCV's trainer.
"""
import contextlib
import math
import random
from collections.abc import Iterator
from typing import NamedTuple

from multibox.data.rendering import render

import cv2
import numpy as np

MAX_EXPANSION = 4
MIN_IOUS = 0.1, 0.3, 0.5, 0.7, 0.9, 0  # between a crop and each object, tried in this order
MAX_TRIALS = 50  # crops tried per minimum IoU
MIN_SCALE, MAX_ASPECT = 0.3, 2
GRAINS = 1, 2, 4, 8  # pixels of the result that share a level of noise
INTERPOLATIONS = (
    cv2.INTER_LINEAR, cv2.INTER_AREA, cv2.INTER_NEAREST, cv2.INTER_CUBIC, cv2.INTER_LANCZOS4)
LEVELS = np.arange(256)
# The steps besides resizing and flipping. The rows of the paper without a star have no expansion,
# and the first row of its Table 2 has horizontal flips only.
AUGMENTATIONS = {'full': ('distort', 'expand', 'crop', 'interpolate'),
                 'no-expansion': ('distort', 'crop', 'interpolate'),
                 'flip': (),
                 'filled': ('distort', 'expand', 'crop', 'interpolate', 'fill')}


class Plan(NamedTuple):
    """The random choices for one image.

    Attributes:
        distortions: list of (channel, table), applied in that order. Each level is replaced by its
            entry in a (256,) uint8 table: in hue (channel 0), in saturation (1), or in red, green
            and blue (None).
        crop: (top, left, bottom, right) in pixels of the photograph, int. The crop of an expanded
            photograph reaches beyond its edges.
        interpolation: OpenCV's number of the interpolation.
        flip: whether left and right are exchanged.
    """
    distortions: list
    crop: tuple
    interpolation: int
    flip: bool


def augment(img: np.ndarray, bbox: np.ndarray, label: np.ndarray, size: int, mean: np.ndarray,
            steps: tuple | None = AUGMENTATIONS['full'], out: np.ndarray | None = None
            ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Distort, expand, crop, resize and flip, in the order of ChainerCV's trainer.

    Draws from the global generators of ``random`` and ``numpy.random``; see :func:`seed_all`.

    Args:
        img: (3, H, W) uint8 or float32 array, RGB, 0 to 255, read as integer levels.
        bbox: (R, 4) float32 array (y_min, x_min, y_max, x_max) in pixels; R may be 0.
        label: (R,) int32 array; objects with a label below 0 do not influence the crop.
        size: side of the square result in pixels.
        mean: (3, 1, 1) float32 array, the colour around an expanded image.
        steps: the steps besides resizing and flipping, an entry of :data:`AUGMENTATIONS`; None only
            resizes, and draws nothing.
        out: (3, size, size) float32 array for the image.

    Returns:
        ``(img, bbox, label)``: (3, size, size) float32, and the boxes (R', 4) float32 and labels
        (R',) int32 of the objects whose centre is inside.
    """
    _, height, width = img.shape
    if steps is None:
        plan = Plan([], (0, 0, height, width), cv2.INTER_LINEAR, flip=False)
    else:
        plan = sample_plan(height, width, bbox[label >= 0], steps)
    bbox, kept = move_boxes(bbox, plan, size)
    result = render(img, plan, size, mean, out)
    if steps and 'fill' in steps:
        fill_margins(result, plan, height, width)
    return result, bbox, label[kept]


def sample_plan(height: int, width: int, bbox: np.ndarray, steps: tuple) -> Plan:
    """Make the random choices for a photograph.

    Args:
        height, width: the size of the photograph in pixels.
        bbox: (R, 4) float32 array (y_min, x_min, y_max, x_max) in pixels; R may be 0.
        steps: as for :func:`augment`; a step that is left out makes no random draw.

    Returns:
        :class:`Plan`.
    """
    distortions = _sample_distortions() if 'distort' in steps else []
    crop = 0, 0, height, width
    if 'expand' in steps and np.random.randint(2):
        crop = _sample_expansion(height, width)
    if 'crop' in steps:
        crop = _sample_crop(crop, bbox)
    interpolation = random.choice(INTERPOLATIONS) if 'interpolate' in steps else cv2.INTER_LINEAR
    return Plan(distortions, crop, interpolation, random.choice((True, False)))


def _sample_distortions():
    brightness = _maybe(None, lambda: LEVELS + random.uniform(-32, 32))
    contrast_first = random.randrange(2)
    contrast = _maybe_contrast() if contrast_first else []
    colour = (_maybe(1, lambda: LEVELS * random.uniform(0.5, 1.5))
              + _maybe(0, lambda: (LEVELS + random.randint(-18, 18)) % 180))
    if not contrast_first:
        return brightness + colour + _maybe_contrast()
    if brightness and contrast:  # one table for both
        return [(None, contrast[0][1][brightness[0][1]]), *colour]
    return brightness + contrast + colour


def _maybe_contrast():
    return _maybe(None, lambda: LEVELS * random.uniform(0.5, 1.5))


def _maybe(channel, sample_table):
    """A list with one distortion of a channel, or an empty one, with equal probability."""
    if random.randrange(2):
        return [(channel, np.clip(sample_table(), 0, 255).astype(np.uint8))]
    return []


def _sample_expansion(height, width):
    ratio = random.uniform(1, MAX_EXPANSION)
    canvas_height, canvas_width = int(height * ratio), int(width * ratio)
    top = -random.randint(0, canvas_height - height)
    left = -random.randint(0, canvas_width - width)
    return top, left, top + canvas_height, left + canvas_width


def _sample_crop(canvas, bbox):
    top, left, bottom, right = canvas
    height, width = bottom - top, right - left
    # The smallest object first, because most crops fail on it.
    boxes = sorted(zip(np.prod(bbox[:, 2:] - bbox[:, :2], axis=1).tolist(), bbox.tolist()))
    crops = [canvas]
    smallest = boxes[0][0] if boxes else 0
    # This loop runs hundreds of times per image. Its draws are those of random.uniform and, for
    # the position, of random.randrange, without the time of the calls.
    draw, draw_bits, sqrt = random.random, random.getrandbits, math.sqrt
    for min_iou in MIN_IOUS if boxes else ():
        for _ in range(MAX_TRIALS):
            scale = MIN_SCALE + (1 - MIN_SCALE) * draw()
            narrowest = scale * scale
            if narrowest < 1 / MAX_ASPECT:
                narrowest = 1 / MAX_ASPECT
            aspect = sqrt(narrowest + (1 / narrowest - narrowest) * draw())
            crop_height, crop_width = int(height * scale / aspect), int(width * scale * aspect)
            free_height, free_width = height - crop_height, width - crop_width
            bits = free_height.bit_length()
            crop_top = draw_bits(bits)
            while crop_top >= free_height > 0:
                crop_top = draw_bits(bits)
            bits = free_width.bit_length()
            crop_left = draw_bits(bits)
            while crop_left >= free_width > 0:
                crop_left = draw_bits(bits)
            crop_area = crop_height * crop_width
            if crop_area and smallest / crop_area < min_iou:
                continue  # an IoU is never above the ratio of the areas
            crop_top, crop_left = top + crop_top, left + crop_left
            crop = crop_top, crop_left, crop_top + crop_height, crop_left + crop_width
            if _overlaps_all(crop, boxes, min_iou):
                crops.append(crop)
                break
    top, left, bottom, right = random.choice(crops)
    return top, left, max(bottom, top + 1), max(right, left + 1)  # at least one pixel


def _overlaps_all(crop, boxes, min_iou):
    """Whether the IoU of the crop with every (area, box) is from ``min_iou`` to 1."""
    top, left, bottom, right = crop
    crop_area = (bottom - top) * (right - left)
    for area, (y_min, x_min, y_max, x_max) in boxes:
        height, width = min(bottom, y_max) - max(top, y_min), min(right, x_max) - max(left, x_min)
        overlap = height * width if height > 0 and width > 0 else 0
        if not min_iou <= (overlap and overlap / (area + crop_area - overlap)) <= 1:
            return False
    return True


def move_boxes(bbox: np.ndarray, plan: Plan, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Apply the crop, the resizing and the flip to the boxes of objects.

    Args:
        bbox: (R, 4) float32 array (y_min, x_min, y_max, x_max) in pixels of the photograph.
        plan: :class:`Plan`.
        size: side of the square result in pixels.

    Returns:
        ``(bbox, kept)``: the boxes whose centre is inside the crop, cut at its edges, in pixels of
        the result, and their indices.
    """
    corner, end = (np.array(side, np.float32) for side in (plan.crop[:2], plan.crop[2:]))
    centre = (bbox[:, :2] + bbox[:, 2:]) / 2
    low, high = np.maximum(bbox[:, :2], corner), np.minimum(bbox[:, 2:], end)
    kept = np.flatnonzero(((corner <= centre) & (centre < end) & (low < high)).all(axis=1))
    bbox = np.concatenate((low[kept] - corner, high[kept] - corner), axis=1)
    bbox *= np.tile(np.float32(size) / (end - corner), 2)
    if plan.flip:
        bbox[:, 1::2] = size - bbox[:, :0:-2]
    return bbox, kept


def fill_margins(img: np.ndarray, plan: Plan, height: int, width: int) -> None:
    """Fill the surroundings of an expanded photograph, in place: with a colour, noise, or the mean.

    Each has a probability of 1/3. A network that never saw noise or black can find objects in it. A
    row or a column of the mean can stay at the edge of the photograph.

    Args:
        img: (3, size, size) float32 array, RGB, 0 to 255.
        plan: :class:`Plan`.
        height, width: the size of the photograph in pixels.
    """
    kind, size = random.randrange(3), img.shape[1]
    top, left, bottom, right = plan.crop
    if not kind or (top >= 0 and left >= 0 and bottom <= height and right <= width):
        return
    if kind == 1:
        levels = np.random.uniform(0, 255, (3, 1, 1)) * np.random.randint(2)  # half of them black
    else:
        grain = random.choice(GRAINS)
        levels = np.random.uniform(0, 255, (3, -(-size // grain), -(-size // grain)))
        levels = levels.repeat(grain, axis=1).repeat(grain, axis=2)[:, :size, :size]
    rows, columns = np.ones(size, bool), np.ones(size, bool)
    for outside, start, end, n in (rows, top, bottom, height), (columns, left, right, width):
        scale = size / (end - start)
        outside[max(0, math.floor(-start * scale)):max(0, math.ceil((n - start) * scale))] = False
    beyond = rows[:, None] | (columns[::-1] if plan.flip else columns)
    np.copyto(img, levels.astype(np.float32), where=beyond)


def seed_all(*entropy: int) -> None:
    """Seed the global generators of ``random`` and ``numpy.random``, which :func:`augment` uses.

    Args:
        entropy: integers >= 0. The same integers give the same draws in every process.
    """
    # The length goes first, because trailing zeros do not count: (7,) and (7, 0) would be equal.
    state = np.random.SeedSequence((len(entropy), *entropy)).generate_state(2)
    random.seed(int(state[0]))
    np.random.seed(state[1])


@contextlib.contextmanager
def keeping_random_state() -> Iterator[None]:
    """Restore the global generators of ``random`` and ``numpy.random`` at the end of a block."""
    states = random.getstate(), np.random.get_state()
    try:
        yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])
