"""Pictures of detections: beside the ground truth, or in the photograph itself."""
import functools
from typing import Any

from multibox.files import open_whole

import matplotlib
import numpy as np
from chainercv.utils import bbox_iou
from matplotlib.font_manager import findfont
from PIL import Image, ImageDraw, ImageFont

# As many colours as VOC has classes; the pale version of each comes after all strong ones.
COLORS = [matplotlib.colormaps['tab20'](i)[:3] for i in (*range(0, 20, 2), *range(1, 20, 2))]
PALETTE = np.array(COLORS) * 255
HEIGHT, GAP = 400, 12  # pixels: height of an image, and distance between two
MAX_DRAWN = 100  # detections per image; an untrained network finds thousands, which would hide it
SCREEN = 1000  # pixels: the longest side of an image that a screen shows unreduced


@functools.cache
def _font(size=13):
    return ImageFont.truetype(findfont('DejaVu Sans'), size)


def draw_detections(path: Any, images: list, predictions: list, ground_truth: list,
                    label_names: tuple, min_score: float = 0.5) -> None:
    """Draw each image twice: with its objects on the left, with its detections on the right.

    Args:
        path: the PNG file to write.
        images: (3, H, W) float32 arrays, sizes may differ; see docs/conventions.md.
        predictions: (bboxes, labels, scores), as ``model.predict(images)`` returns them.
        ground_truth: (bboxes, labels), lists of (R, 4) float32 and (R,) int32 arrays.
        label_names: the foreground classes, in the order of their numbers.
        min_score: detections with a lower score are not drawn. Per image, at most the best
            :data:`MAX_DRAWN` are drawn.

    Raises:
        UserError: the picture cannot be written.
    """
    tiles = []
    for img, gt_bbox, gt_label, bbox, label, score in zip(images, *ground_truth, *predictions):
        n_found = int((score >= min_score).sum())
        keep = np.argsort(-score, kind='stable')[:min(n_found, MAX_DRAWN)]
        scored = [f'{label_names[n]} {s:.2f}' for n, s in zip(label[keep], score[keep])]
        tiles.append(('ground truth', draw_boxes(
            img, gt_bbox, gt_label, [label_names[n] for n in gt_label], HEIGHT)))
        which = f', the {MAX_DRAWN} surest of {n_found:,}' if n_found > MAX_DRAWN else ''
        tiles.append((f'detected, score from {min_score}{which}',
                      draw_boxes(img, bbox[keep], label[keep], scored, HEIGHT)))
    n_column = 2 if len(images) < 3 else 4
    rows = [tiles[i:i + n_column] for i in range(0, len(tiles), n_column)]
    width = max(sum(tile.width + GAP for _, tile in row) for row in rows) + GAP
    picture = Image.new('RGB', (width, len(rows) * (HEIGHT + 3 * GAP)), 'white')
    for r, row in enumerate(rows):
        x, y = GAP, r * (HEIGHT + 3 * GAP) + 2 * GAP
        for title, tile in row:
            ImageDraw.Draw(picture).text((x, y - 4), title, 'black', _font(), anchor='ls')
            picture.paste(tile, (x, y))
            x += tile.width + GAP
    with open_whole(path) as file:
        picture.save(file, 'PNG')


def draw_boxes(img: np.ndarray, bbox: np.ndarray, label: np.ndarray, names: list[str],
               height: int | None = None) -> Image.Image:
    """Draw boxes and their names into an image; the names avoid each other.

    Lines and letters grow with the size of a large image, because viewers reduce it.

    Args:
        img: (3, H, W) float32 array; see docs/conventions.md.
        bbox: (R, 4) float array, in pixels of ``img``.
        label: (R,) int array; a class has the same colour in every image.
        names: R strings.
        height: height of the result in pixels; None for the height of the image.

    Returns:
        The picture, in the proportions of ``img``.
    """
    tile = Image.fromarray(img.transpose(1, 2, 0).clip(0, 255).astype(np.uint8))
    height = height or img.shape[1]
    scale = height / img.shape[1]
    if scale != 1:
        size = round(img.shape[2] * scale), height
        tile = tile.resize(size, Image.Resampling.BICUBIC)
    draw = ImageDraw.Draw(tile)
    bbox = (bbox * scale).round()
    colors = [tuple(map(round, color)) for color in PALETTE[label % len(PALETTE)]]
    unit = max(1, round(max(tile.size) / SCREEN))
    font = _font(13 * unit)
    for (y_min, x_min, y_max, x_max), color in zip(bbox, colors):
        draw.rectangle((x_min - unit, y_min - unit, x_max + unit, y_max + unit), outline='black',
                       width=5 * unit)
        draw.rectangle((x_min, y_min, x_max, y_max), outline=color, width=3 * unit)
    taken = np.zeros((0, 4), np.float32)
    for box, name, color in zip(bbox, names, colors):
        size = 18 * unit, font.getlength(name) + 6 * unit
        places = _label_places(box, size, tile.size[::-1])
        y_min, x_min, y_max, x_max = place = places[bbox_iou(places, taken).sum(axis=1).argmin()]
        taken = np.vstack([taken, place])
        draw.rectangle((x_min, y_min, x_max - 1, y_max - 1), fill=color, outline='black')
        draw.text((x_min + 3 * unit, y_min + 14 * unit), name, text_color(color), font, anchor='ls')
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
