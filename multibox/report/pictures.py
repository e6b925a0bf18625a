"""Pictures of mistakes: cut-outs of images, and the boxes of the object and the detection."""
import io
from typing import NamedTuple

from multibox.drawing import to_picture, within_reach
from multibox.evaluation.mistakes import Match

import numpy as np
from PIL import Image

SIDE = 280  # pixels: longer side of a cut-out on the page
CONTEXT = 2.0  # side of a cut-out, as a multiple of the longer side of its boxes
MAX_COVERED = 20  # objects drawn per cut-out; more boxes would hide the image
MIN_SIDE = 48  # pixels of the image; a smaller cut-out would be blurred


class Figure(NamedTuple):
    """A mistake as a picture with a caption.

    Attributes:
        jpeg: bytes of the cut-out, a JPEG file.
        size: (width, height) of the cut-out in pixels.
        boxes: list of ``(kind, (x, y, width, height))`` in pixels of the cut-out. The kind is
            'true' for an object and 'found' for the detection.
        caption: the mistake in words.
        name: file name of the image.
    """
    jpeg: bytes
    size: tuple[int, int]
    boxes: list[tuple[str, tuple]]
    caption: str
    name: str


def figure(img: np.ndarray, match: Match, label_names: tuple, name: str) -> Figure:
    """Cut a mistake out of its image.

    Args:
        img: (3, H, W) float32 or uint8 array; see docs/conventions.md.
        match: the mistake.
        label_names: the foreground classes, in the order of their numbers.
        name: file name of the image.

    Returns:
        :class:`Figure`.
    """
    objects = match.covered[:MAX_COVERED] or (match.object,)
    drawn = [(kind, each[0]) for kind, each in (
        *(('true', each) for each in objects), ('found', match.detection)) if each is not None]
    boxes = within_reach(np.array([bbox for _, bbox in drawn]))
    y, x, height, width = window(boxes, img.shape[1:])
    scale = SIDE / max(height, width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    tile = to_picture(img[:, y:y + height, x:x + width])
    rectangles = [(kind, _rectangle((bbox - (y, x, y, x)) * scale))
                  for (kind, _), bbox in zip(drawn, boxes)]
    return Figure(jpeg(tile, size), size, rectangles, caption(match, label_names), name)


def jpeg(picture: Image.Image, size: tuple[int, int]) -> bytes:
    """A picture in RGB as a JPEG file of (width, height) pixels, for the page."""
    file = io.BytesIO()
    picture.resize(size, Image.Resampling.LANCZOS).save(file, 'JPEG', quality=80)
    return file.getvalue()


def caption(match: Match, label_names: tuple) -> str:
    """A mistake in a few words; arguments as for :func:`figure`."""
    true = label_names[match.object[1]] if match.object else 'nothing'
    if match.detection is None:
        return f'{true}, no detection nearby'
    _, label, score = match.detection
    found, overlap = f'{label_names[label]} {score:.2f}', f'IoU {match.iou:.2f}'
    if len(match.covered) > 1:
        overlap = f'{overlap} with {true}' if match.kind == 'misplaced' else f'best {overlap}'
        return f'{found}, covers {len(match.covered)} objects, none well, {overlap}'
    return {
        'missed': f'{true}, nearest: {found}, {overlap}',
        'background': f'{found}, nothing there',
        'covers': f'{found}, covers {true}, but not well, {overlap}',
        'inside': f'{found}, inside {true}, {overlap}',
        'class': f'{found} over {true}, {overlap}',
        'again': f'{found}, a second time, {overlap}',
        'misplaced': f'{found}, {overlap}'}[match.kind]


def window(bbox: np.ndarray, limit: tuple[int, int]) -> tuple[int, int, int, int]:
    """Find a square that shows boxes and their surroundings, within the image.

    Args:
        bbox: (N, 4) float array, N >= 1.
        limit: (H, W) of the image.

    Returns:
        y, x, height and width, in pixels.
    """
    low, high = bbox[:, :2].min(axis=0), bbox[:, 2:].max(axis=0)
    extent = (high - low).max()
    side = max(min(max(CONTEXT * extent, MIN_SIDE), *limit), extent)
    size = np.minimum(np.ceil(side), limit).astype(int)
    corner = np.clip(np.round((low + high - size) / 2), 0, np.subtract(limit, size)).astype(int)
    (y, x), (height, width) = corner.tolist(), size.tolist()
    return y, x, height, width


def _rectangle(bbox):
    y_min, x_min, y_max, x_max = (round(float(value), 1) for value in bbox)
    return x_min, y_min, round(x_max - x_min, 1), round(y_max - y_min, 1)
