"""Boxes with names, drawn into an image.

Worker processes import this module, so it imports no module that imports Chainer.
"""
import functools

import matplotlib
import numpy as np
from matplotlib.font_manager import findfont
from PIL import Image, ImageDraw, ImageFont

# As many colours as VOC has classes; the pale version of each comes after all strong ones.
COLORS = [matplotlib.colormaps['tab20'](i)[:3] for i in (*range(0, 20, 2), *range(1, 20, 2))]
PALETTE = np.array(COLORS) * 255
SCREEN = 1000  # pixels: the longest side of an image that a screen shows unreduced
OUTSIDE = 16  # line widths by which a box that leaves the image is drawn beyond it


@functools.cache
def font(size: int = 13) -> ImageFont.FreeTypeFont:
    """The font of all pictures, in a size in pixels."""
    return ImageFont.truetype(findfont('DejaVu Sans'), size)


def to_picture(img: np.ndarray) -> Image.Image:
    """Convert a (3, H, W) float32 or uint8 array to a picture in RGB; see docs/conventions.md."""
    if img.dtype != np.uint8:
        img = img.clip(0, 255).astype(np.uint8)
    return Image.fromarray(img.transpose(1, 2, 0))


def draw_boxes(img: np.ndarray, bbox: np.ndarray, label: np.ndarray, names: list[str],
               height: int | None = None) -> Image.Image:
    """Draw boxes and their names into an image; the names avoid each other.

    Lines and letters grow with the size of a large image, because viewers reduce it.

    Args:
        img: (3, H, W) float32 or uint8 array; see docs/conventions.md.
        bbox: (R, 4) float array, in pixels of ``img``; nan counts as 0.
        label: (R,) int array; a class has the same colour in every image.
        names: R strings.
        height: height of the result in pixels; None for the height of the image.

    Returns:
        The picture, in the proportions of ``img``.
    """
    tile = to_picture(img)
    height = height or img.shape[1]
    scale = height / img.shape[1]
    if scale != 1:
        size = round(img.shape[2] * scale), height
        tile = tile.resize(size, Image.Resampling.BICUBIC)
    draw = ImageDraw.Draw(tile)
    limits = np.tile(tile.size[::-1], 2)
    unit = max(1, round(max(tile.size) / SCREEN))
    bbox = np.nan_to_num(bbox * scale).clip(-OUTSIDE * unit, limits + OUTSIDE * unit).round()
    colors = [tuple(map(round, color)) for color in PALETTE[label % len(PALETTE)]]
    letters = font(13 * unit)
    for (y_min, x_min, y_max, x_max), color in zip(bbox, colors):
        draw.rectangle((x_min - unit, y_min - unit, x_max + unit, y_max + unit), outline='black',
                       width=5 * unit)
        draw.rectangle((x_min, y_min, x_max, y_max), outline=color, width=3 * unit)
    taken = np.zeros((0, 4), np.float32)
    for box, name, color in zip(bbox, names, colors):
        size = 18 * unit, letters.getlength(name) + 6 * unit
        places = _label_places(box, size, tile.size[::-1])
        y_min, x_min, y_max, x_max = place = places[_overlap(places, taken).argmin()]
        taken = np.vstack([taken, place])
        draw.rectangle((x_min, y_min, x_max - 1, y_max - 1), fill=color, outline='black')
        draw.text((x_min + 3 * unit, y_min + 14 * unit), name, text_color(color), letters,
                  anchor='ls')
    return tile


def text_color(color: tuple) -> str:
    """'black' or 'white', by contrast with (R, G, B) from 0 to 255 (WCAG 2, criterion 1.4.3)."""
    luminance = np.dot((np.array(color) / 255) ** 2.2, (0.2126, 0.7152, 0.0722))
    return 'white' if luminance < 0.18 else 'black'


def _label_places(box, size, limit):
    """(8, 4) float32 array of boxes for a label, best first: above, inside and below its object."""
    (y_min, x_min, y_max, x_max), (height, width) = box, size
    corners = [(y, x) for y in (y_min - height, y_min, y_max - height, y_max)
               for x in (x_min, x_max - width)]
    corners = np.clip(corners, 0, np.maximum(np.subtract(limit, size), 0))
    return np.hstack([corners, corners + size]).astype(np.float32)


def _overlap(places, taken):
    """(8,) float array: the sum of the IoU of each place with all boxes that are taken."""
    corners = np.maximum(places[:, None, :2], taken[:, :2]), np.minimum(places[:, None, 2:],
                                                                        taken[:, 2:])
    shared = np.prod(corners[1] - corners[0], axis=2) * (corners[0] < corners[1]).all(axis=2)
    area, area_taken = (np.prod(boxes[:, 2:] - boxes[:, :2], axis=1) for boxes in (places, taken))
    return (shared / (area[:, None] + area_taken - shared)).sum(axis=1)
