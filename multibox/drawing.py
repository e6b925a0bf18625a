"""Boxes with names, drawn into an image.

Worker processes import this module, so it imports no module that imports Chainer.
"""
import functools

from multibox.terminal import printable

import matplotlib
import numpy as np
from matplotlib.font_manager import findfont
from PIL import Image, ImageDraw, ImageFont

# As many colours as VOC has classes; the pale version of each comes after all strong ones.
COLORS = [matplotlib.colormaps['tab20'](i)[:3] for i in (*range(0, 20, 2), *range(1, 20, 2))]
PALETTE = np.array(COLORS) * 255
SCREEN = 1000  # pixels: the longest side of an image that a screen shows unreduced
WIDEST = 4  # times its height: a picture on the page
LONGEST = 60  # characters of a name in a picture
FAR = 1e6  # pixels from an image: a box that reaches further is cut
MAX_TAKEN = 300  # names that the next name avoids; all of thousands would take minutes
SOFTWARE = 'multibox detect.py'  # the tag in the pictures of detect.py, by which it knows them
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


def short_name(name: str) -> str:
    """A name in one short line without control characters, as pictures show it."""
    name = ' '.join(name.encode(errors='backslashreplace').decode().split())
    name = printable(name, len(name))
    return name if len(name) <= LONGEST else f'{name[:LONGEST - 1]}…'


def within_reach(bbox: np.ndarray) -> np.ndarray:
    """Boxes whose numbers can be computed with: nan becomes 0, and inverted sides change places.

    Args:
        bbox: (R, 4) float array, in pixels of an image.

    Returns:
        (R, 4) float array, from -:data:`FAR` to :data:`FAR`.
    """
    bbox = np.nan_to_num(bbox).clip(-FAR, FAR)
    return np.hstack([np.minimum(bbox[:, :2], bbox[:, 2:]), np.maximum(bbox[:, :2], bbox[:, 2:])])


def draw_boxes(img: np.ndarray, bbox: np.ndarray, label: np.ndarray, names: list[str],
               height: int | None = None) -> Image.Image:
    """Draw boxes and their names into an image; the names avoid each other.

    Lines and letters grow with the size of a large image, because viewers reduce it.

    Args:
        img: (3, H, W) float32 or uint8 array; see docs/conventions.md.
        bbox: (R, 4) float array, in pixels of ``img``; see :func:`within_reach`.
        label: (R,) int array; a class has the same colour in every image.
        names: R strings.
        height: height of the result in pixels; None for the height of the image. An image wider
            than :data:`WIDEST` times its height becomes less high.

    Returns:
        The picture, in the proportions of ``img``, of at least one pixel.
    """
    tile, scale = to_picture(img), 1.0
    if height is not None:
        scale = min(height / img.shape[1], WIDEST * height / img.shape[2])
    if scale != 1:
        width, height = (max(1, round(side * scale)) for side in tile.size)
        tile = tile.resize((width, height), Image.Resampling.BICUBIC)
    draw = ImageDraw.Draw(tile)
    limits = np.tile(tile.size[::-1], 2)
    unit = max(1, round(max(tile.size) / SCREEN))
    scaled = within_reach(bbox) * scale
    scaled = scaled.clip(-OUTSIDE * unit, limits + OUTSIDE * unit).round()
    colors = [tuple(map(round, color)) for color in PALETTE[label % len(PALETTE)]]
    letters = font(13 * unit)
    for (y_min, x_min, y_max, x_max), color in zip(scaled, colors):
        draw.rectangle((x_min - unit, y_min - unit, x_max + unit, y_max + unit), outline='black',
                       width=5 * unit)
        draw.rectangle((x_min, y_min, x_max, y_max), outline=color, width=3 * unit)
    taken = np.zeros((0, 4), np.float32)
    for box, name, color in zip(scaled, map(short_name, names), colors):
        size = 18 * unit, letters.getlength(name) + 6 * unit
        places = _label_places(box, size, tile.size[::-1])
        y_min, x_min, y_max, x_max = place = places[_overlap(places, taken).argmin()]
        taken = np.vstack([taken[1 - MAX_TAKEN:], place])
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
