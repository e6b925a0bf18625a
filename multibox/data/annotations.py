"""Annotations, first as their files have them, then as training uses them."""
from pathlib import Path
from typing import NamedTuple

import numpy as np

CORNERS = ('xmin', 'ymin', 'xmax', 'ymax')
NO_BOXES = np.zeros((0, 4), np.float32)
# The first pixel is 1 in VOC. For its published scores ChainerCV subtracts 1 from all coordinates.
VOC_ORIGIN = 1


class Entry(NamedTuple):
    """One object as its file has it.

    Attributes:
        number: position of the object in the file, from 1, or its id in a COCO file.
        name: its class; None or '' if the file has none.
        box: (x_min, y_min, x_max, y_max) as written, floats in pixels of the annotated frame; None
            if there is no usable box.
        written: the four coordinates as text, for messages; an element is None if it is absent.
        difficult: VOC's mark for objects that do not count in the score.
        fault: why the box cannot be used; None if it can.
    """
    number: int
    name: str | None
    box: tuple | None
    written: tuple | None = None
    difficult: bool = False
    fault: str | None = None


class Annotation(NamedTuple):
    """One image with its objects, as their files have them.

    Attributes:
        file: the file of the annotation.
        image: the image file; None if there is none.
        entries: list of :class:`Entry`.
        frame: (width, height) in pixels that the file states for the image, None if it does not.
        origin: the coordinate of the first pixel, :data:`VOC_ORIGIN` or 0. With 0, coordinates are
            edges between pixels.
        relative: whether the coordinates are shares of the width and the height.
        fault: ``(file, reason)`` if the image or the whole annotation cannot be used.
    """
    file: Path
    image: Path | None
    entries: list
    frame: tuple | None = None
    origin: int = VOC_ORIGIN
    relative: bool = False
    fault: tuple | None = None


class Problem(NamedTuple):
    """One problem in one file; ``str()`` gives a readable line.

    Attributes:
        file: pathlib.Path of the annotation, or of an image that is missing or unreadable.
        number: the position of the object in the file, from 1, or its id in a COCO file; None if
            the problem concerns the whole file.
        coordinates: (xmin, ymin, xmax, ymax) as written, each str or None if absent; None if the
            problem is not the box.
        reason: the problem in words.
    """
    file: Path
    number: int | None
    coordinates: tuple | None
    reason: str

    def __str__(self):
        where = '' if self.number is None else f', object {self.number}'
        if self.coordinates is not None:
            where += ', ' + ' '.join(f'{k}={v}' for k, v in zip(CORNERS, self.coordinates))
        file = str(self.file).replace('\n', r'\n')  # a problem is one line
        return f'{file}{where}: {self.reason}'


class Example(NamedTuple):
    """One image and its R >= 0 objects, as training and evaluation use them.

    Attributes:
        path: pathlib.Path of the image.
        bbox: (R, 4) float32, see docs/conventions.md.
        label: (R,) int32, index into the label names.
        difficult: (R,) bool, VOC's mark for objects that the evaluation leaves out.
        size: (height, width) of the image in pixels, after a rotation that EXIF asks for.
        ignored: (N, 4) float32, regions that are neither objects nor background.
    """
    path: Path
    bbox: np.ndarray
    label: np.ndarray
    difficult: np.ndarray
    size: tuple
    ignored: np.ndarray = NO_BOXES
