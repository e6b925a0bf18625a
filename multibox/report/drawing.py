"""Pictures of detections beside the ground truth."""
from collections.abc import Iterable
from typing import Any

from multibox.drawing import draw_boxes, font
from multibox.files import open_whole

import numpy as np
from PIL import Image, ImageDraw

HEIGHT, GAP = 400, 12  # pixels: height of an image, and distance between two
MAX_DRAWN = 100  # detections per image; an untrained network finds thousands, which would hide it


def draw_detections(path: Any, images: Iterable, predictions: list, ground_truth: list,
                    label_names: tuple, min_score: float = 0.5) -> None:
    """Draw each image twice: with its objects on the left, with its detections on the right.

    Args:
        path: the PNG file to write.
        images: (3, H, W) float32 or uint8 arrays, of any sizes; see docs/conventions.md. Each is
            dropped before the next one is taken.
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
        tiles.append((f'detected, score from {min_score:.3g}{which}',
                      draw_boxes(img, bbox[keep], label[keep], scored, HEIGHT)))
    n_column = 2 if len(tiles) < 6 else 4
    rows = [tiles[i:i + n_column] for i in range(0, len(tiles), n_column)]
    width = max(sum(tile.width + GAP for _, tile in row) for row in rows) + GAP
    picture = Image.new('RGB', (width, len(rows) * (HEIGHT + 3 * GAP)), 'white')
    for r, row in enumerate(rows):
        x, y = GAP, r * (HEIGHT + 3 * GAP) + 2 * GAP
        for title, tile in row:
            ImageDraw.Draw(picture).text((x, y - 4), title, 'black', font(), anchor='ls')
            picture.paste(tile, (x, y))
            x += tile.width + GAP
    with open_whole(path) as file:
        picture.save(file, 'PNG')
