"""YOLO's layout: images/, labels/ with one text file per image, and data.yaml or classes.txt."""
from collections import Counter
from itertools import chain
from pathlib import Path

from multibox.data.annotations import Annotation, Entry, Problem
from multibox.data.layouts.found import Found
from multibox.data.layouts.roles import assign, part_folders, role_of
from multibox.data.listing import is_image, read_lines, walk
from multibox.errors import UserError

import yaml

MAX_CLASSES = 10_000
CLASSES = 'classes.txt', 'obj.names', 'labels/classes.txt', 'labels.txt'


def read_yolo(folder: Path) -> Found | None:
    """Read a folder with data.yaml, or with images/ and labels/, or with images and text files.

    A line of a text file is the number of a class, then the centre, the width and the height of a
    box, or the corners of a polygon, as shares of the width and the height of the image. An image
    without text file has no objects, as in ultralytics' trainer.

    Returns:
        :class:`Found`; None if the folder has another layout.

    Raises:
        UserError: data.yaml or a list of classes cannot be read.
    """
    config = _config(folder)
    sets = _sets(folder, config)
    if sets is None:
        return None
    notes: list[str] = []
    names = _names(folder, config)
    annotations = {role: [_read(image, names) for image in images]
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
                for path in _without_image(folder, [each.image for each in everything])]
    return assign(annotations, folder, names, notes, problems)


def _config(folder):
    for path in filter(Path.is_file, sorted([*folder.glob('*.yaml'), *folder.glob('*.yml')])):
        try:
            text = path.read_text(encoding='utf-8-sig')
            content = yaml.load(text, yaml.BaseLoader)  # texts only: a class may be called 'on'
        except (OSError, UnicodeDecodeError, yaml.YAMLError, RecursionError) as error:
            reason = ' '.join(str(error).split())
            raise UserError(f'{path}: cannot be read as YAML ({reason})') from None
        if isinstance(content, dict) and 'names' in content:
            return {**content, 'file': path}
    return None


def _names(folder, config):
    if config:
        names = config['names']
        if isinstance(names, dict):
            try:
                n_class = min(max(map(int, names)) + 1, MAX_CLASSES)
                names = [names.get(str(n), f'class {n}') for n in range(n_class)]
            except (TypeError, ValueError):
                names = None
        if not isinstance(names, list) or not names or not all(map(_is_text, names)):
            raise UserError(f'{config["file"]}: names is neither a list nor a mapping from numbers '
                            'to names of classes')
        return _unique(tuple(names), config['file'])
    for path in (folder / name for name in CLASSES):
        if path.is_file():
            return _unique(tuple(read_lines(path)), path)
    return None


def _is_text(value):
    return isinstance(value, str)  # other values may hold aliases, and explode as text


def _unique(names, path):
    twice = sorted(name for name, n in Counter(names).items() if n > 1)
    if twice:
        raise UserError(f'{path}: names {", ".join(twice)} twice; name every class once')
    return names


def _sets(folder, config):
    """{role: image files}, or None if there are no label files."""
    if config:
        sets = {role: _listed(folder, config, key) for key in ('train', 'val', 'test')
                if config.get(key) for role in [key]}
        sets = {role: images for role, images in sets.items() if images}
        if sets:
            return sets
    parts = part_folders(folder)
    if any(map(_has_labels, parts.values())):
        return {role: _images(part) for role, part in parts.items()}
    if _has_labels(folder):
        images = folder / 'images'
        inner = part_folders(images) if images.is_dir() else {}
        return {role: _images(part) for role, part in inner.items()} or {None: _images(folder)}
    found = _images(folder)
    if any((folder / name).is_file() for name in CLASSES[:2]) or config:
        # Images without text file are not annotated yet, because labels lie beside images.
        return {None: [image for image in found if _label_file(image)]} if found else None
    return None


def _has_labels(folder):
    return any((folder / 'labels').rglob('*.txt'))  # labelImg's users put .xml files there


def _listed(folder, config, key):
    """The images that an entry of data.yaml names: folders, or text files with one path per line.

    Paths are relative to the entry ``path``, or to data.yaml. Exports often write a '../' too much.
    """
    values = config[key] if isinstance(config[key], list) else [config[key]]
    path = config.get('path')
    bases = [folder / path, folder] if _is_text(path) else [folder]
    images = []
    for value in filter(_is_text, values):
        trimmed = value.replace('\\', '/')
        while trimmed.startswith('../'):
            trimmed = trimmed[3:]
        paths = [base / text for base in bases for text in (trimmed, value)]
        path = next((path for path in paths if path.exists()), None)
        if path is None:
            part = part_folders(folder / 'images').get(role_of(key)) if (
                folder / 'images').is_dir() else part_folders(folder).get(role_of(key))
            if part is None:
                continue
            path = part
        if path.is_dir():
            images += _images(path)
        elif path.suffix == '.txt':
            lines = [Path(line) for line in read_lines(path)]
            images += [next((p for p in (path.parent / line, folder / line) if p.is_file()),
                            folder / line) for line in lines]
    return list(dict.fromkeys(images))


def _images(folder):
    return [path for path in walk(folder) if is_image(path)]


def _label_files(image):
    """Where an image may have its labels: in labels/ if it is in images/, or beside it."""
    beside, parts = image.with_suffix('.txt'), image.parts
    for i in reversed(range(len(parts) - 1)):
        if parts[i] == 'images':
            return [Path(*parts[:i], 'labels', *beside.parts[i + 1:]), beside]
    return [beside]


def _label_file(image):
    return next((path for path in _label_files(image) if path.exists()), None)


def _without_image(folder, images):
    """The label files in labels/ that belong to none of the images."""
    known = {path for image in (*images, *_images(folder)) for path in _label_files(image)}
    return [path for path in walk(folder) if path.suffix == '.txt' and path not in known
            and 'labels' in path.relative_to(folder).parts[:-1] and path.name != 'classes.txt']


def _read(image, names):
    path = _label_file(image)
    if path is None:
        return Annotation(image, image, [], origin=0, relative=True)
    if not path.is_file():
        return Annotation(path, image, [], fault=(path, 'is not a regular file'))
    try:
        lines = path.read_text(encoding='utf-8-sig').splitlines()
    except (OSError, UnicodeDecodeError) as error:
        return Annotation(path, image, [], fault=(path, f'labels cannot be read ({error})'))
    entries = [_entry(n, line.split(), names) for n, line in enumerate(lines, start=1)
               if line.strip()]
    return Annotation(path, image, entries, origin=0, relative=True)


def _entry(number, words, names):
    line = ' '.join(words)[:80]
    try:
        values = list(map(float, words))
        kind = int(values[0])
        if kind != values[0] or kind < 0:
            raise ValueError
    except (ValueError, OverflowError):
        return Entry(number, None, None, None, False, f'not a class and numbers: {line!r}')
    name = str(kind) if names is None else names[kind] if kind < len(names) else f'class {kind}'
    values = values[1:]
    if len(values) < 4:
        return Entry(number, name, None, None, False, f'fewer than four coordinates: {line!r}')
    if len(values) >= 6 and len(values) % 2 == 0:
        x, y = values[0::2], values[1::2]
        box = min(x), min(y), max(x), max(y)
    else:
        x, y, width, height = values[:4]
        if width < 0 or height < 0:
            return Entry(number, name, None, None, False, f'box has a negative size: {line!r}')
        box = x - width / 2, y - height / 2, x + width / 2, y + height / 2
    if box[2] - box[0] > 2 or box[3] - box[1] > 2:
        return Entry(number, name, None, None, False, f'coordinates look like pixels; they have to '
                     f'be shares of the width and the height: {line!r}')
    return Entry(number, name, box, None)
