"""YOLO's layout: images/, labels/ with one text file per image, and data.yaml or classes.txt."""
import os
from itertools import chain
from pathlib import Path

from multibox.data.annotations import Annotation, Entry, Problem
from multibox.data.classes import MAX_CLASSES
from multibox.data.layouts.found import Found
from multibox.data.layouts.images import exists
from multibox.data.layouts.roles import assign, part_folders, role_of
from multibox.data.layouts.yolo_names import CLASSES, names_of, read_config
from multibox.data.listing import is_image, normal, split_path, walk
from multibox.data.reading import number, read_lines, read_text, reason_of, shown
from multibox.errors import UserError

MAX_BYTES = 2 ** 24  # of a label file
MAX_PARTS = 32  # folders at the end of a listed path that are looked for


def read_yolo(folder: Path, train: bool) -> Found | None:
    """Read a folder with data.yaml, or with images/ and labels/, or with images and text files.

    A line of a text file is the number of a class, then the centre, the width and the height of a
    box, or the corners of a polygon, as shares of the width and the height of the image. Where
    labels/ is, an image without text file has no objects, as in ultralytics' trainer.

    Args:
        folder: the folder.
        train: False asks for the set to evaluate on only.

    Returns:
        :class:`Found`; None if the folder has another layout.

    Raises:
        UserError: data.yaml or a list of classes cannot be read, or the training images that
            data.yaml names are missing.
    """
    config = read_config(folder)
    notes: list[str] = []
    names = names_of(folder, config, notes) if config else None
    sets = _sets(folder, config, train, notes)
    labels = Labels()
    if not any(labels.find(image) for images in sets.values() for image in images):
        return None
    names = names or names_of(folder, config, notes)
    pose = bool(config and 'kpt_shape' in config)
    annotations = {role: [_read(image, labels.find(image), names, pose) for image in images]
                   for role, images in sets.items()}
    everything = [*chain(*annotations.values())]
    n_without = sum(annotation.file == annotation.image for annotation in everything)
    if n_without:
        notes.append(f'{folder}: {n_without} images have no label file; they count as images '
                     'without objects')
    if names is None:
        numbers = {entry.name for each in everything for entry in each.entries if entry.name}
        names = tuple(sorted(numbers, key=int))
        notes.append(f'{folder}: no data.yaml or classes.txt names the classes; their numbers do')
    problems = [Problem(path, None, None, 'image file is missing')
                for path in _without_image(folder, {each.file for each in everything}, labels)]
    return assign(annotations, folder, names, notes, problems, train)


class Labels:
    """The label files of images: in labels/ if the image is in images/, or beside it."""

    def __init__(self):
        self._folders: dict[Path, dict] = {}

    def find(self, image: Path) -> Path | None:
        """The label file of an image, or None; the form of Unicode and case need not agree."""
        for folder in _label_folders(image):
            if folder not in self._folders:
                paths = [path for path in (folder.iterdir() if folder.is_dir() else ())
                         if path.suffix.lower() == '.txt']
                exact = {normal(path.stem): path for path in paths}
                self._folders[folder] = {name.casefold(): path for name, path in exact.items()}
                self._folders[folder].update(exact)
            stem = normal(image.stem)
            if path := self._folders[folder].get(stem, self._folders[folder].get(stem.casefold())):
                return path
        return None


def _label_folders(image):
    parts = image.parent.parts
    for i in reversed(range(len(parts))):
        if parts[i] == 'images':
            return [Path(*parts[:i], 'labels', *parts[i + 1:]), image.parent]
    return [image.parent]


def _sets(folder, config, train, notes):
    """{role: image files}; empty if no text file can belong to them."""
    sets = {}
    for key in ('train', 'val', 'test') if config else ():
        if config.get(key):
            sets[key] = _listed(folder, config, key)
            if not sets[key]:
                where = config[key] if isinstance(config[key], str) else 'its folders'
                reason = f'{config["file"]}: {key}: no image in {where}'
                if key == 'train' and train:
                    raise UserError(f'{reason}; correct the path')
                notes.append(reason)
    if any(sets.values()):
        return sets
    parts = part_folders(folder)
    if any(map(_has_labels, parts.values())):
        return {role: _images(part) for role, part in parts.items()}
    if _has_labels(folder):
        images = folder / 'images'
        inner = part_folders(images) if images.is_dir() else {}
        if inner:
            return {role: _images(part) for role, part in inner.items()}
        return {None: _images(images if images.is_dir() else folder)}
    if config or any(os.path.lexists(folder / name) for name in CLASSES[:2]):
        # Images without text file are not annotated yet, because labels lie beside images.
        labels = Labels()
        return {None: [image for image in _images(folder) if labels.find(image)]}
    return {}


def _has_labels(folder):
    # labelImg's users put .xml files there
    return any(path.suffix == '.txt' for path in walk(folder / 'labels'))


def _listed(folder, config, key):
    """The images that an entry of data.yaml names: folders, or text files with one path per line.

    Paths are relative to the entry ``path``, or to data.yaml. Exports often write a '../' too much.
    """
    values = config[key] if isinstance(config[key], list) else [config[key]]
    path = config.get('path')
    bases = [folder / path, folder] if isinstance(path, str) else [folder]
    parts = part_folders(folder / 'images' if (folder / 'images').is_dir() else folder)
    images = []
    seen = set()
    for value in dict.fromkeys(value for value in values if isinstance(value, str)):
        trimmed = value.replace('\\', '/')
        while trimmed.startswith('../'):
            trimmed = trimmed[3:]
        paths = [base / text for base in bases for text in (trimmed, value)]
        path = next(filter(os.path.lexists, paths), parts.get(role_of(key)))
        if path is None or (real := os.path.realpath(path)) in seen:
            continue
        seen.add(real)
        if path.is_dir():
            images += _images(path)
        elif path.suffix == '.txt':
            images += [_image_of_line(line, path.parent, folder) for line in read_lines(path)]
    return list(dict.fromkeys(images))


def _image_of_line(line, parent, folder):
    """The image that a line of a list means; its first folders may lie elsewhere."""
    if exists(parent / line):
        return parent / line
    parts = split_path(line)
    starts = range(max(0, len(parts) - MAX_PARTS), len(parts))
    paths = (folder.joinpath(*parts[start:]) for start in starts)
    return next(filter(exists, paths), parent / line)


def _images(folder):
    return [path for path in walk(folder) if is_image(path)]


def _without_image(folder, known, labels):
    """The label files in labels/ that belong to no image."""
    known = known | {labels.find(image) for image in _images(folder)}
    return [path for path in walk(folder) if path.suffix == '.txt' and path not in known
            and 'labels' in path.relative_to(folder).parts[:-1] and path.name != 'classes.txt']


def _read(image, path, names, pose):
    if path is None:
        return Annotation(image, image, [], origin=0, relative=True)
    try:
        lines = read_text(path, MAX_BYTES).splitlines()
    except UserError as error:
        return Annotation(path, image, [], fault=(path, reason_of(error, path)))
    entries = [_entry(n, line.split()[:5 if pose else None], names)
               for n, line in enumerate(lines, start=1) if line.strip()]
    return Annotation(path, image, entries, origin=0, relative=True)


def _entry(position, words, names):
    line = shown(' '.join(words))
    try:
        values = list(map(number, words))
        kind = int(values[0])
        if kind != values[0] or not 0 <= kind < MAX_CLASSES:
            raise ValueError
    except (ValueError, OverflowError):
        return Entry(position, None, None, None, False, f'not a class and numbers: {line}')
    name = str(kind) if names is None else names[kind] if kind < len(names) else f'class {kind}'
    values = values[1:]
    if len(values) < 4:
        return Entry(position, name, None, None, False, f'fewer than four coordinates: {line}')
    if len(values) >= 6 and len(values) % 2 == 0:
        x, y = values[0::2], values[1::2]
        box = min(x), min(y), max(x), max(y)
    else:
        x, y, width, height = values[:4]
        if width < 0 or height < 0:
            return Entry(position, name, None, None, False, f'box has a negative size: {line}')
        box = x - width / 2, y - height / 2, x + width / 2, y + height / 2
    if box[2] - box[0] > 2 or box[3] - box[1] > 2:
        return Entry(position, name, None, None, False, 'coordinates look like pixels; they have '
                     f'to be shares of the width and the height: {line}')
    return Entry(position, name, box, None)
