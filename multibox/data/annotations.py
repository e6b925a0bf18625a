"""VOC annotations, read and checked before training; bad annotations are left out and listed."""
from pathlib import Path
from typing import NamedTuple

from multibox.errors import UserError

import numpy as np
from defusedxml import ElementTree
from PIL import Image
from tqdm import tqdm

IMAGE_SUFFIXES = ('.jpg', '.jpeg', '.png', '.JPG', '.JPEG', '.PNG')
CORNERS = ('xmin', 'ymin', 'xmax', 'ymax')


class Problem(NamedTuple):
    """One problem in one file; ``str()`` gives a readable line.

    Attributes:
        file: pathlib.Path of the annotation, or of an image that is missing or unreadable.
        number: the position of the object in the file, from 1; None if the problem concerns the
            whole file.
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
        return f'{self.file}{where}: {self.reason}'


class Example(NamedTuple):
    """One image and its R >= 0 objects.

    Attributes:
        path: pathlib.Path of the image.
        bbox: (R, 4) float32, see docs/conventions.md.
        label: (R,) int32, index into the label names.
        difficult: (R,) bool, VOC's mark for objects that the evaluation leaves out.
        size: (height, width) of the image in pixels.
    """
    path: Path
    bbox: np.ndarray
    label: np.ndarray
    difficult: np.ndarray
    size: tuple


class _FileError(Exception):
    """The whole file cannot be used: (file, reason)."""


def _progress(ids):
    return tqdm(ids, desc='Reading annotations', unit='file', delay=2, leave=False)


def _annotation_path(folder, example_id):
    return Path(folder) / 'Annotations' / f'{example_id}.xml'


def _parse(path):
    try:
        root = ElementTree.parse(path).getroot()  # defusedxml raises ValueErrors
    except FileNotFoundError:
        raise _FileError(path, 'annotation file is missing') from None
    except (ElementTree.ParseError, ValueError, LookupError, OSError) as error:
        raise _FileError(path, f'annotation cannot be read ({error})') from error
    if root.tag != 'annotation':
        raise _FileError(path, f'not a VOC annotation: its root is <{root.tag}>, not <annotation>')
    return root


def _text(element, path):
    text = element.findtext(path)
    return None if text is None else text.strip()


def _find_image(folder, example_id):
    paths = [Path(folder) / 'JPEGImages' / f'{example_id}{suffix}' for suffix in IMAGE_SUFFIXES]
    for path in paths:
        if path.is_file():
            return path
    raise _FileError(paths[0], 'image file is missing')


def _image_size(image):
    """(width, height) of the image itself, because <size> is often missing or wrong."""
    try:
        with Image.open(image) as header:
            return header.size
    except OSError as error:
        raise _FileError(image, f'image cannot be read ({error})') from error


def _to_bbox(coordinates, width, height):
    """Convert VOC's coordinates as written to (4,) float32 (y_min, x_min, y_max, x_max).

    Raises:
        ValueError: the box cannot be used, for the reason in its text.
    """
    try:
        x_min, y_min, x_max, y_max = written = np.array([float(text) for text in coordinates])
    except (TypeError, ValueError):
        raise ValueError('box coordinates are missing or not numbers') from None
    if not np.isfinite(written).all():
        raise ValueError('box coordinates are not finite')
    if x_min > x_max or y_min > y_max:
        raise ValueError('box is inverted, its min is above its max')
    # Tools that count from 0 and tools that count from 1 both stay between 0 and the full size.
    if written.min() < 0 or x_max > width or y_max > height:
        raise ValueError(f'box reaches outside the image of {width:g} x {height:g} pixels')
    # VOC counts from 1. For its published scores ChainerCV subtracts 1 from all four coordinates.
    bbox = np.maximum(np.array([y_min, x_min, y_max, x_max]) - 1, 0).astype(np.float32)
    if (bbox[:2] == bbox[2:]).any():
        raise ValueError('box has no area')
    return bbox


def _read_example(folder, example_id, label_names):
    """Read the Example of an id and the problems of its objects.

    Raises:
        _FileError: the annotation or the image cannot be used.
    """
    path = _annotation_path(folder, example_id)
    root = _parse(path)
    image = _find_image(folder, example_id)
    width, height = _image_size(image)
    bboxes, labels, difficult, problems = [], [], [], []
    # Direct children only, because the <part>s of an object also have names and boxes.
    for number, entry in enumerate(root.findall('object'), start=1):
        coordinates = tuple(_text(entry, f'bndbox/{corner}') for corner in CORNERS)
        name = _text(entry, 'name')
        try:
            bbox = _to_bbox(coordinates, width, height)
        except ValueError as fault:
            problems.append(Problem(path, number, coordinates, str(fault)))
            continue
        if name not in label_names:
            problems.append(Problem(path, number, None, f'class {name!r} is not one of the '
                                    f'{len(label_names)} label names'))
            continue
        bboxes.append(bbox)
        labels.append(label_names.index(name))
        difficult.append(_text(entry, 'difficult') == '1')
    example = Example(image, np.array(bboxes, np.float32).reshape(-1, 4),
                      np.array(labels, np.int32), np.array(difficult, bool), (height, width))
    return example, problems


def read_annotations(folder: str | Path, ids: list[str],
                     label_names: tuple) -> tuple[list[Example], list[Problem]]:
    """Read and check ``Annotations/<id>.xml`` of a VOC-layout folder.

    An object with a problem is left out. An example is left out if a problem concerns its whole
    file. An image without objects is a valid example, all of it background.

    Args:
        folder: holds Annotations/ and JPEGImages/.
        ids: file names without suffix; an image may be .jpg, .jpeg or .png.
        label_names: class names; the label of an object is the index of its name.

    Returns:
        ``(examples, problems)``: lists of :class:`Example`, in the order of ``ids``, and
        :class:`Problem`.
    """
    examples, problems = [], []
    for example_id in _progress(ids):
        try:
            example, found = _read_example(folder, example_id, label_names)
        except _FileError as error:
            file, reason = error.args
            problems.append(Problem(file, None, None, reason))
            continue
        examples.append(example)
        problems += found
    return examples, problems


def read_unannotated(images: list[Path]) -> list[Example]:
    """Make examples without objects, for images whose annotations are not published.

    Raises:
        UserError: an image is missing or cannot be read.
    """
    try:
        return [Example(image, np.zeros((0, 4), np.float32), np.zeros(0, np.int32),
                        np.zeros(0, bool), _image_size(image)[::-1]) for image in images]
    except _FileError as error:
        file, reason = error.args
        raise UserError(f'{file}: {reason}') from None


def find_label_names(folder: str | Path, ids: list[str]) -> tuple[str, ...]:
    """List the class names that occur, sorted; arguments as for :func:`read_annotations`."""
    names: set[str] = set()
    for example_id in _progress(ids):
        try:
            root = _parse(_annotation_path(folder, example_id))
        except _FileError:
            continue  # listed by read_annotations
        names.update(_text(entry, 'name') for entry in root.findall('object'))
    return tuple(sorted(names - {None, ''}))
