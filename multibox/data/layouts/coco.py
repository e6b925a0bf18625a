"""COCO's layout: JSON files of instances, and their images in a folder nearby."""
from collections import Counter
from pathlib import Path

from multibox.data.annotations import Annotation, Entry, Problem
from multibox.data.frames import stated_size
from multibox.data.layouts.coco_json import categories_of, id_of, load
from multibox.data.layouts.found import Found
from multibox.data.layouts.images import Images
from multibox.data.layouts.roles import assign, role_in, role_of
from multibox.data.listing import files_near
from multibox.data.reading import MAX_PATH, number, shown
from multibox.errors import UserError

CROWD = {None: False, 0: False, 1: True, '': False, '0': False, '1': True}  # iscrowd
MAX_FILES = 20  # JSON files in a folder that are tried


def coco_files(folder: Path) -> list[Path]:
    """The JSON files that may hold instances, in a folder and its folders.

    Those that are called so come alone. A folder with very many JSON files holds one per image.
    """
    files = files_near(folder, '.json')
    called = [path for path in files if path.name.startswith(('instances', '_annotations'))]
    per_folder = Counter(path.parent for path in files)
    return called or [path for path in files if per_folder[path.parent] <= MAX_FILES
                      and not path.name.startswith(('captions', 'person_keypoints'))]


def read_coco(folder: Path, train: bool) -> Found | None:
    """Read the JSON files of a folder, or of its folders.

    A file is for training, validation or test if its name or that of its folder says so. Regions
    marked ``iscrowd`` count as difficult objects.

    Args:
        folder: the folder.
        train: False does not read a training file where there is another.

    Returns:
        :class:`Found`, with the classes in the order of their ids; None if no file has COCO's keys.

    Raises:
        UserError: a file is damaged, a class has two ids, or no image is there.
    """
    roles = {path: role_of(path.stem) or role_in(path, folder) for path in coco_files(folder)}
    if not train and {'val', 'test'} & set(roles.values()):
        roles = {path: role for path, role in roles.items() if role in ('val', 'test')}
    sets: dict = {}
    categories: dict = {}
    problems: list[Problem] = []
    notes: list[str] = []
    images = None
    for path, role in roles.items():
        content = load(path, strict=path.name.startswith(('instances', '_annotations')))
        if content is None:
            continue
        images = images or Images(folder)
        _join_categories(categories, categories_of(path, content), path)
        annotations, found = _read(path, content, categories, images, role)
        sets.setdefault(role, []).extend(annotations)
        problems += found
    if images is None:
        return None
    sets = {role: _join(annotations, folder, notes) for role, annotations in sets.items()}
    names = dict.fromkeys(name for name, _ in categories.values())
    return assign(sets, folder, tuple(names), notes, problems, train)._replace(crowds=True)


def _join_categories(categories, new, path):
    for i, name in new.items():
        known, other = categories.setdefault(i, (name, path))
        if known != name:
            raise UserError(f'{path.parent}: the categories of {other.name} and {path.name} differ '
                            f'({i} is {known!r} in one and {name!r} in the other); export both '
                            'from one project')


def _read(path, content, categories, images, role):
    """The annotations and the problems of one file."""
    known, problems = _images(path, content)
    entries: dict = {image_id: [] for image_id in known}
    for position, entry in enumerate(content['annotations']):
        own = entry.get('id') if isinstance(entry, dict) else None
        entry_id = own if isinstance(own, int) else position
        try:
            entries[id_of(entry['image_id'])].append(_entry(entry_id, entry, categories))
        except (KeyError, TypeError, ValueError):
            image_id = entry.get('image_id') if isinstance(entry, dict) else entry
            problems.append(Problem(path, entry_id, None, f'image {shown(image_id)} is not listed'))
    known = {image_id: image for image_id, image in known.items() if image}
    annotations = []
    pictures = images.find([image['file_name'] for image in known.values()], path, role)
    for image_id in _in_order(known):
        image = known[image_id]
        picture = pictures.get(image['file_name'])
        fault = None if picture else (
            images.folder / _expected(role) / image['file_name'], 'image file is missing')
        frame = stated_size(image.get('width'), image.get('height'))
        annotations.append(Annotation(path, picture, entries[image_id], frame, origin=0,
                                      fault=fault))
    if known and not pictures:
        raise UserError(f'{images.folder / _expected(role)}: none of the {len(known)} images is '
                        f'here; unpack {_expected(role)}.zip into {images.folder}'
                        if path.stem.endswith('2017') else
                        f'{path}: none of its {len(known)} images is found under {images.folder}, '
                        f'such as {next(iter(known.values()))["file_name"]!r}')
    return annotations, problems


def _images(path, content):
    """{id: image} with None for an image that cannot be used, and the problems."""
    known: dict = {}
    problems = []
    for position, image in enumerate(content['images']):
        image_id, what = None, f'number {position}'
        try:
            what = shown(image['id'])
            image_id, name = id_of(image['id']), image['file_name']
            if not isinstance(name, str) or not name:
                raise ValueError(f'file_name is {shown(name)}')
            if len(name) > MAX_PATH:
                raise ValueError(f'file_name has {len(name):,} characters')
            other = known.setdefault(image_id, image)
            if other is None or other['file_name'] != name:
                raise ValueError(f'{shown(other and other["file_name"])} has the same id')
        except (KeyError, TypeError, ValueError) as error:
            problems.append(Problem(path, None, None, f'image {what}: no usable file_name and id '
                                    f'({error})'))
            if image_id is not None:
                known[image_id] = None
    return known, problems


def _join(annotations, folder, notes):
    """The annotations, with all objects of an image in one, even if it is listed several times."""
    joined: dict = {}
    for position, annotation in enumerate(annotations):
        first = joined.setdefault(annotation.image or position, annotation)
        if first is not annotation:
            known = {entry[1:] for entry in first.entries}
            first.entries.extend(entry for entry in annotation.entries if entry[1:] not in known)
    if len(joined) < len(annotations):
        notes.append(f'{folder}: {len(annotations) - len(joined)} images are listed more than once;'
                     ' each counts once, with all its objects')
    return [*joined.values()]


def _in_order(known):
    try:
        return sorted(known)
    except TypeError:  # ids of several types
        return list(known)


def _expected(role):
    return f'{role}2017' if role else 'images'


def _entry(position, entry, categories):
    try:
        name, _ = categories[id_of(entry.get('category_id'))]
    except (KeyError, TypeError, ValueError):
        name = f'category {shown(entry.get("category_id"))}'
    bbox, mark = entry.get('bbox'), entry.get('iscrowd')
    try:
        difficult = CROWD[mark]
    except (KeyError, TypeError):
        return Entry(position, name, None, fault=f'iscrowd is {shown(mark)}, neither 0 nor 1')
    try:
        if not isinstance(bbox, list):
            raise TypeError
        x, y, width, height = map(number, bbox)
    except (TypeError, ValueError, OverflowError):
        return Entry(position, name, None, None, difficult,
                     f'bbox is not four numbers: {shown(bbox)}')
    if width < 0 or height < 0:
        return Entry(position, name, None, None, difficult, 'box has a negative size')
    return Entry(position, name, (x, y, x + width, y + height), None, difficult)
