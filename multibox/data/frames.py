"""From boxes as they are written to boxes in the upright image."""
import math
from typing import Any, NamedTuple

from multibox.data.annotations import NO_BOXES, Annotation, Example, Problem
from multibox.data.pictures import TURNS, Picture
from multibox.data.reading import number

import numpy as np

MAX_OBJECTS = 10_000  # per image


class Placed(NamedTuple):
    """The result of :func:`place`.

    Attributes:
        example: :class:`Example`; None if the image cannot be used.
        problems: list of :class:`Problem`: the reasons why it cannot.
        notes: list of str, what was changed in the boxes.
        unnamed: list of str, the classes of the ignored regions.
    """
    example: Example | None
    problems: list
    notes: list
    unnamed: list


class _Unfit(ValueError):
    """The frame or a box cannot be used, for the reason in its text."""


def place(annotation: Annotation, picture: Picture | str, numbers: dict[str, int]) -> Placed:
    """Place the objects of an annotation in its image.

    The coordinates belong to the frame whose size the annotation states: the upright image, or the
    stored pixels of a rotated photograph. A frame of the same aspect is scaled. Without a size, the
    frame is the upright image, unless the boxes fit the stored pixels only. Boxes are cut at the
    edges of the image. An image with an object that cannot be placed is left out, because training
    would take the object for background.

    Args:
        annotation: the image and its objects, as their files have them.
        picture: the size of the stored pixels, or the reason why they cannot be read.
        numbers: the labels of the classes by their names; an object of another class becomes an
            ignored region.

    Returns:
        :class:`Placed`.
    """
    file, image = annotation.file, annotation.image
    if annotation.fault or image is None:
        where, reason = annotation.fault or (file, 'image file is missing')
        return Placed(None, [Problem(where, None, None, reason)], [], [])
    if isinstance(picture, str):
        return Placed(None, [Problem(image, None, None, picture)], [], [])
    if len(annotation.entries) > MAX_OBJECTS:
        return Placed(None, [Problem(file, None, None, f'holds {len(annotation.entries):,} objects '
                                     f'of {image.name}, more than {MAX_OBJECTS:,}')], [], [])
    try:
        frame, turned, notes = _find_frame(annotation, picture)
    except _Unfit as fault:
        return Placed(None, [Problem(image, None, None, str(fault))], [], [])
    # A table or a JSON file holds the objects of many images.
    where = '' if file.stem == image.stem else f' (in {image.name})'
    width, height = picture.upright
    problems, unnamed, ignored = [], [], []
    objects: dict[str, list] = {'bbox': [], 'label': [], 'difficult': []}
    for entry in annotation.entries:
        try:
            box = _box(entry, annotation, frame)
            bbox = _cut(_move(box, frame, turned, picture, annotation.origin), width, height)
        except _Unfit as fault:
            problems.append(Problem(file, entry.number, entry.written, f'{fault}{where}'))
            continue
        if _reaches_outside(box, frame):
            notes.append(f'{Problem(file, entry.number, entry.written, "")}the box reaches outside '
                         f'of {frame[0]:g} x {frame[1]:g} pixels; it was cut at the edges{where}')
        if entry.name in numbers:
            objects['bbox'].append(bbox)
            objects['label'].append(numbers[entry.name])
            objects['difficult'].append(entry.difficult)
        else:
            unnamed.append(entry.name or '')
            ignored.append(bbox)
    if problems:
        return Placed(None, problems, notes, unnamed)
    example = Example(
        image, np.array(objects['bbox'], np.float32).reshape(-1, 4),
        np.array(objects['label'], np.int32), np.array(objects['difficult'], bool),
        (height, width), np.array(ignored, np.float32) if ignored else NO_BOXES)
    return Placed(example, [], notes, unnamed)


def _find_frame(annotation, picture):
    """The annotated frame (width, height), whether it is that of the stored pixels, and notes."""
    upright, stored = picture.upright, (picture.width, picture.height)
    frame = annotation.frame
    if frame is None:
        turned = stored != upright and not annotation.relative and (
            _overshoot(annotation, stored) < _overshoot(annotation, upright))
        return (stored if turned else upright), turned, []
    for size in upright, stored:
        if frame == size:
            return frame, size != upright, []
    for size in upright, stored:
        if _same_aspect(frame, size):
            note = (f'{annotation.image}: its annotation gives the size {frame[0]} x {frame[1]}, '
                    f'but the image has {size[0]} x {size[1]} pixels; the boxes were scaled')
            return frame, size != upright, [note]
    raise _Unfit(f'its annotation gives the size {frame[0]} x {frame[1]}, but the image has '
                 f'{upright[0]} x {upright[1]} pixels: the boxes belong to another image')


def _overshoot(annotation, size):
    """The pixels by which the boxes pass a size; one pixel of a tool that counts from 1 is none."""
    boxes = [entry.box for entry in annotation.entries if entry.box]
    return max([1, *(side - limit for box in boxes for side, limit in zip(box[2:], size))])


def _same_aspect(one, other):
    """Whether one size is the other, scaled and rounded to whole pixels."""
    return any(max((side - 0.5) / whole for side, whole in zip(small, large))
               <= min((side + 0.5) / whole for side, whole in zip(small, large))
               for small, large in ((one, other), (other, one)))


def _box(entry, annotation, frame):
    """(x_min, y_min, x_max, y_max) in pixels of the frame, as written."""
    if entry.box is None:
        raise _Unfit(entry.fault or 'box coordinates are missing')
    box = np.array(entry.box, np.float64)
    if not np.isfinite(box).all():
        raise _Unfit('box coordinates are not finite')
    if (box[:2] > box[2:]).any():
        raise _Unfit('box is inverted, its min is above its max')
    if not annotation.relative and box.min() >= 0 and box.max() <= 1 and (
            box.max() > box.min()) and (annotation.origin or (box % 1).any()):  # COCO: 1 pixel
        raise _Unfit('box coordinates look like fractions of the image; they have to be pixels')
    return box * np.tile(frame, 2) if annotation.relative else box


def _move(box, frame, turned, picture, origin):
    """The box in pixels of the upright image, whose first pixel begins at 0."""
    box = box - origin
    size = (picture.width, picture.height) if turned else picture.upright
    with np.errstate(over='ignore'):  # an infinite corner is cut at the edge, too
        box *= np.tile(np.divide(size, frame), 2)
    if turned:
        swap, flip_x, flip_y = TURNS[picture.orientation]
        x, y = box[0::2], box[1::2]
        x, y = (y, x) if swap else (x, y)
        width, height = picture.upright
        # Pixel indices run from 0 to size - 1, and edges from 0 to size.
        x = width - bool(origin) - x[::-1] if flip_x else x
        y = height - bool(origin) - y[::-1] if flip_y else y
        box = np.array([x[0], y[0], x[1], y[1]])
    return box


def _cut(box, width, height):
    """(4,) float32 (y_min, x_min, y_max, x_max) of the part of a box inside the image."""
    x_min, y_min, x_max, y_max = box
    if x_min >= x_max or y_min >= y_max:
        raise _Unfit('box has no area')
    limit = np.array([height, width, height, width])
    bbox = np.clip([y_min, x_min, y_max, x_max], 0, limit).astype(np.float32)
    if (bbox[:2] >= bbox[2:]).any():
        raise _Unfit(f'nothing of the box lies in the image of {width} x {height} pixels')
    return bbox


def _reaches_outside(box, frame):
    """Whether a box as written passes the frame by more than tools that count from 0 or 1 do."""
    return min(box) < -0.5 or box[2] > frame[0] + 1 or box[3] > frame[1] + 1


def stated_size(width: Any, height: Any) -> tuple | None:
    """The size of an image as a file states it, numbers or texts, as two whole numbers.

    Returns:
        (width, height); None if a side is missing, is no number or is 0, as some tools write.
    """
    try:
        sides = number(width), number(height)
        size = tuple(round(side) for side in sides if math.isfinite(side))
    except (TypeError, ValueError, OverflowError):
        return None
    return size if len(size) == 2 and min(size) >= 1 and max(size) < 10 ** 9 else None
