"""COCO's layout: JSON files of instances, and their images in a folder nearby."""
import json
from collections import Counter
from pathlib import Path

from multibox.data.annotations import Annotation, Entry, Problem
from multibox.data.frames import stated_size
from multibox.data.layouts.found import Found
from multibox.data.layouts.images import Images
from multibox.data.layouts.roles import assign, role_in, role_of
from multibox.data.listing import files_near
from multibox.errors import UserError

KEYS = 'images', 'annotations', 'categories'
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
        content = _load(path, strict=path.name.startswith(('instances', '_annotations')))
        if content is None:
            continue
        images = images or Images(folder)
        _join_categories(categories, _categories(path, content), path)
        annotations, found = _read(path, content, categories, images, role)
        sets.setdefault(role, []).extend(annotations)
        problems += found
    if images is None:
        return None
    sets = {role: _join(annotations, folder, notes) for role, annotations in sets.items()}
    names = dict.fromkeys(name for name, _ in categories.values())
    return assign(sets, folder, tuple(names), notes, problems, train)._replace(crowds=True)


def _load(path, strict):
    try:
        content = json.loads(path.read_text(encoding='utf-8-sig'))
    except (OSError, ValueError, RecursionError) as error:
        if not strict:
            return None
        raise UserError(f'{path}: not a readable file of COCO instances ({error!r})') from None
    lists = isinstance(content, dict) and [content.get(key) for key in KEYS]
    if not lists or not all(isinstance(value, list) for value in lists):
        if not strict:
            return None
        raise UserError(f'{path}: not a readable file of COCO instances (it needs the lists '
                        f'{", ".join(KEYS)})')
    return content


def _categories(path, content):
    """{id: name}, by rising id; a class that only names the group of the others is left out."""
    try:
        found = {_id(category['id']): str(category['name']) for category in content['categories']}
        ids = sorted(found)
    except (KeyError, TypeError) as error:
        raise UserError(f'{path}: not a readable file of COCO instances (a category is damaged: '
                        f'{error!r})') from None
    groups = {category.get('supercategory') for category in content['categories']}
    used = {_id(entry.get('category_id')) for entry in content['annotations']
            if isinstance(entry, dict) and isinstance(entry.get('category_id'), (int, str))}
    found = {i: found[i] for i in ids if i in used or i != 0 or found[i] not in groups}
    names = list(found.values())
    for name in names:
        if names.count(name) > 1:
            ids = [str(i) for i in found if found[i] == name]
            raise UserError(f'{path}: the categories {" and ".join(ids)} are both named {name!r}; '
                            'give each class one id')
    return found


def _join_categories(categories, new, path):
    for i, name in new.items():
        known, other = categories.setdefault(i, (name, path))
        if known != name:
            raise UserError(f'{path.parent}: the categories of {other.name} and {path.name} differ '
                            f'({i} is {known!r} in one and {name!r} in the other); export both '
                            'from one project')


def _read(path, content, categories, images, role):
    """The annotations and the problems of one file."""
    problems, faulty, known = [], {}, {}
    for number, image in enumerate(content['images']):
        try:
            image_id, name = _id(image['id']), image['file_name']
            other = known.setdefault(image_id, image)
            if other.get('file_name') != name:
                raise ValueError(f'{other.get("file_name")!r} has the same id')
            if not isinstance(name, str) or not name:
                raise ValueError(f'file_name is {name!r}')
        except (KeyError, TypeError, ValueError) as error:
            what = image.get('id') if isinstance(image, dict) else f'number {number}'
            what = str(what) if isinstance(what, (list, dict)) else what
            problems.append(Problem(path, None, None, f'image {what}: no usable file_name and id '
                                    f'({error})'))
            faulty[what] = True
    entries: dict = {image_id: [] for image_id in known}
    for number, entry in enumerate(content['annotations']):
        try:
            entry_id = entry['id'] if isinstance(entry.get('id'), int) else number
            owner = entries[_id(entry['image_id'])]
        except (KeyError, TypeError, AttributeError):
            shown = entry.get('image_id') if isinstance(entry, dict) else entry
            entry_id = entry.get('id', number) if isinstance(entry, dict) else number
            problems.append(Problem(path, entry_id if isinstance(entry_id, int) else None, None,
                                    f'image {shown!r} is not listed'))
            continue
        owner.append(_entry(entry_id, entry, categories))
    annotations = []
    n_missing = 0
    pictures = images.find([image['file_name'] for image_id, image in known.items()
                            if image_id not in faulty], path, role)
    for image_id in _in_order(known):
        if image_id in faulty:
            continue
        image = known[image_id]
        picture = pictures.get(image['file_name'])
        n_missing += picture is None
        fault = None if picture else (
            images.folder / _expected(role) / image['file_name'], 'image file is missing')
        frame = stated_size(image.get('width'), image.get('height'))
        annotations.append(Annotation(path, picture, entries[image_id], frame, origin=0,
                                      fault=fault))
    if known and n_missing == len(annotations) and annotations:
        raise UserError(f'{images.folder / _expected(role)}: none of the {n_missing} images is '
                        f'here; unpack {_expected(role)}.zip into {images.folder}'
                        if path.stem.endswith('2017') else
                        f'{path}: none of its {n_missing} images is found under {images.folder}, '
                        f'such as {next(iter(known.values()))["file_name"]!r}')
    return annotations, problems


def _join(annotations, folder, notes):
    """The annotations, with all objects of an image in one, even if it is listed several times."""
    joined: dict = {}
    for number, annotation in enumerate(annotations):
        first = joined.setdefault(annotation.image or number, annotation)
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


def _id(value):
    """An id; some tools write numbers as text."""
    return int(value) if isinstance(value, str) and value.isascii() and value.isdigit() else value


def _entry(number, entry, categories):
    try:
        name, _ = categories[_id(entry.get('category_id'))]
    except (KeyError, TypeError):
        name = f'category {entry.get("category_id")}'
    bbox, difficult = entry.get('bbox'), entry.get('iscrowd') not in (None, 0, False, '0', '')
    try:
        x, y, width, height = map(float, bbox)
    except (TypeError, ValueError, OverflowError):
        return Entry(number, name, None, None, difficult,
                     f'bbox is not four numbers: {str(bbox)[:60]}')
    if width < 0 or height < 0:
        return Entry(number, name, None, None, difficult, 'box has a negative size')
    return Entry(number, name, (x, y, x + width, y + height), None, difficult)
