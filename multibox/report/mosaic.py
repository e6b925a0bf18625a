"""training.png: the first images of a run as the network sees them, with their objects."""
from collections.abc import Iterator
from pathlib import Path
from time import perf_counter
from typing import Any

from multibox.boxes.coder import IGNORED
from multibox.canvas import grid
from multibox.data.augmentation import keeping_random_state
from multibox.data.sequence import TrainingSequence
from multibox.drawing import draw_boxes, font
from multibox.files import open_whole

import numpy as np
from PIL import Image, ImageDraw

N_IMAGE, N_COLUMN = 16, 4
SIDE, GAP, CAPTION = 300, 8, 22  # pixels: side of an image, distance of two, height of a caption
MAX_SECONDS = 1.2  # for loading; large photographs take longer, and then fewer are shown


def save_mosaic(path: Path, sequence: TrainingSequence, label_names: tuple) -> None:
    """Draw the first examples of a run after their augmentation, with the boxes of their objects.

    The captions count the objects and the positives, the default boxes that the objects match.

    Args:
        path: the PNG file to write.
        sequence: the examples; its transform is a :class:`multibox.data.MakeTargets`.
        label_names: the foreground classes, in the order of their numbers.

    Raises:
        UserError: the file cannot be written, or an image cannot be read.
    """
    tiles = [_tile(*example, label_names) for example in first_examples(sequence)]
    picture = grid(tiles, N_COLUMN, (SIDE + GAP, SIDE + CAPTION))
    with open_whole(path) as file:
        picture.save(file, 'PNG', compress_level=1)  # a higher level takes a second


def first_examples(
        sequence: TrainingSequence) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray, int]]:
    """Make the first examples of a run as the loader does, and keep their boxes.

    The states of the random generators are those from before whenever the caller has control.

    Args:
        sequence: as for :func:`save_mosaic`.

    Yields:
        ``(img, bbox, label, n_positive)``: (3, size, size) float32 array, RGB, 0 to 255 or slightly
        beyond, (R, 4) float32 array, (R,) int32 array, and the number of positive default boxes.
    """
    targets: Any = sequence.transform
    begin = perf_counter()
    for t in range(min(N_IMAGE, len(sequence))):
        with keeping_random_state():
            img, bbox, label = sequence.apply(targets.augment, t)
            _, mb_label = targets.encode(bbox, label)
        yield img, bbox, label, int((mb_label > 0).sum())
        if perf_counter() - begin > MAX_SECONDS:
            return


def _tile(img, bbox, label, n_positive, label_names):
    """An image of ``SIDE`` pixels with its objects, over a caption."""
    ignored = label == IGNORED
    names = ['ignored' if n == IGNORED else label_names[n] for n in label]
    tile = Image.new('RGB', (SIDE, SIDE + CAPTION), 'white')
    tile.paste(draw_boxes(img, bbox, np.where(ignored, len(label_names), label), names, SIDE))
    n = int((~ignored).sum())
    ImageDraw.Draw(tile).text(
        (0, SIDE + 15), f'{n} object{"s" * (n != 1)}, {n_positive} positives', 'black', font(),
        anchor='ls')
    return tile
