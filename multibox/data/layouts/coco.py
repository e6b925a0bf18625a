"""COCO's layout: JSON files of instances, and their images in a folder nearby."""
import json
from pathlib import Path

from multibox.data.annotations import Annotation, Entry, Problem
from multibox.data.frames import is_finite_size
from multibox.data.layouts.found import Found
from multibox.data.layouts.roles import assign, role_of
from multibox.data.listing import Tree
from multibox.errors import UserError

KEYS = 'images', 'annotations', 'categories'


def coco_files(folder: Path) -> list[Path]:
    """The JSON files that may hold instances; those that are called so come alone."""
    files = [path for parent in (folder, folder / 'annotations') if parent.is_dir()
             for path in sorted(parent.glob('*.json')) if path.is_file()]
    called = [path for path in files if path.name.startswith('instances')]
    return called or [path for path in files if not path.name.startswith(('captions', 'person'))]


def read_coco(folder: Path, train: bool) -> Found | None:
    """Read the JSON files of a folder, or of its folder annotations/.

    A file is for training, validation or test if its name says so. Regions marked ``iscrowd`` count
    as difficult objects.

    Args:
        folder: the folder.
        train: False does not read a training file where there is another.

    Returns:
        :class:`Found`, with the classes in the order of their ids; None if no file has COCO's keys.

    Raises:
        UserError: a file is damaged, a class has two ids, or no image is there.
    """
    roles = {path: role_of(path.stem) for path in coco_files(folder)}
    if not train and {'val', 'test'} & set(roles.values()):
        roles = {path: role for path, role in roles.items() if role in ('val', 'test')}
    sets: dict = {}
    categories: dict = {}
    problems: list[Problem] = []
    notes: list[str] = []
    tree = None
    for path, role in roles.items():
        content = _load(path, strict=path.name.startswith(('instances', '_annotations')))
        if content is None:
            continue
        tree = tree or Images(folder)
        _join_categories(categories, _categories(path, content), path)
        annotations, found = _read(path, content, categories, tree, role)
        sets.setdefault(role, []).extend(_join(annotations, path, notes))
        problems += found
    if tree is None:
        return None
    names = [name for name, _ in categories.values()]
    return assign(sets, folder, tuple(names), notes, problems, train)


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
        found = {category['id']: str(category['name']) for category in content['categories']}
        ids = sorted(found)
    except (KeyError, TypeError) as error:
        raise UserError(f'{path}: not a readable file of COCO instances (a category is damaged: '
                        f'{error!r})') from None
    groups = {category.get('supercategory') for category in content['categories']}
    used = {entry.get('category_id') for entry in content['annotations'] if isinstance(entry, dict)
            and isinstance(entry.get('category_id'), int)}
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


class Images:
    """The images that JSON files name, found in the folders where exports put them."""

    def __init__(self, folder: Path):
        self.folder = folder
        self._tree: Tree | None = None
        self._folders: dict[Path, list] = {}  # where the last image of a file was

    def find(self, name: str, file: Path, role: str | None) -> Path | None:
        """The image of a name in ``file``, or None."""
        name = name.replace('\\', '/')
        base = Path(name).name
        roles = [role, f'{role}2017', 'valid' if role == 'val' else 'default'] if role else []
        folders = [file.parent, self.folder, self.folder / 'images', *(
            self.folder / parent / sub for sub in (*roles, 'default') for parent in ('', 'images'))]
        for folder in dict.fromkeys([*self._folders.get(file, ()), *folders]):
            for path in (folder / name, folder / base):
                if '..' not in path.parts[len(folder.parts):] and path.is_file():
                    self._folders[file] = [folder]
                    return path
        self._tree = self._tree or Tree(self.folder)
        found = [path for path in self._tree.nearest(Path(base).stem, file, base)
                 if path.suffix.lower() == Path(base).suffix.lower()
                 and self._role(path) in (None, role)]
        found = [path for path in found if path.as_posix().endswith(f'/{name}')] or found
        return found[0] if len(found) == 1 else None

    def _role(self, path):
        return next(filter(None, map(role_of, path.relative_to(self.folder).parts[:-1])), None)


def _read(path, content, categories, images, role):
    """The annotations and the problems of one file."""
    problems, faulty, known = [], {}, {}
    for number, image in enumerate(content['images']):
        try:
            image_id, name = image['id'], image['file_name']
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
            owner = entries[entry['image_id']]
        except (KeyError, TypeError, AttributeError):
            shown = entry.get('image_id') if isinstance(entry, dict) else entry
            entry_id = entry.get('id', number) if isinstance(entry, dict) else number
            problems.append(Problem(path, entry_id if isinstance(entry_id, int) else None, None,
                                    f'image {shown!r} is not listed'))
            continue
        owner.append(_entry(entry_id, entry, categories))
    annotations = []
    n_missing = 0
    for image_id in _in_order(known):
        if image_id in faulty:
            continue
        image = known[image_id]
        picture = images.find(image['file_name'], path, role)
        n_missing += picture is None
        fault = None if picture else (
            images.folder / _expected(role) / image['file_name'], 'image file is missing')
        annotations.append(Annotation(path, picture, entries[image_id], _frame(image), origin=0,
                                      fault=fault))
    if known and n_missing == len(annotations) and annotations:
        raise UserError(f'{images.folder / _expected(role)}: none of the {n_missing} images is '
                        f'here; unpack {_expected(role)}.zip into {images.folder}'
                        if path.stem.endswith('2017') else
                        f'{path}: none of its {n_missing} images is found under {images.folder}, '
                        f'such as {next(iter(known.values()))["file_name"]!r}')
    return annotations, problems


def _join(annotations, path, notes):
    """The annotations, with all objects of an image in one, even if it is listed several times."""
    joined: dict = {}
    for number, annotation in enumerate(annotations):
        first = joined.setdefault(annotation.image or number, annotation)
        if first is not annotation:
            known = {entry[1:] for entry in first.entries}
            first.entries.extend(entry for entry in annotation.entries if entry[1:] not in known)
    if len(joined) < len(annotations):
        notes.append(f'{path}: {len(annotations) - len(joined)} images are listed more than once; '
                     'each counts once, with all its objects')
    return [*joined.values()]


def _in_order(known):
    try:
        return sorted(known)
    except TypeError:  # ids of several types
        return list(known)


def _expected(role):
    return f'{role}2017' if role else 'images'


def _frame(image):
    try:
        size = float(image['width']), float(image['height'])
    except (KeyError, TypeError, ValueError, OverflowError):
        return None
    return tuple(map(round, size)) if is_finite_size(*size) else None


def _entry(number, entry, categories):
    try:
        name, _ = categories[entry.get('category_id')]
    except (KeyError, TypeError):
        name = f'category {entry.get("category_id")}'
    bbox, difficult = entry.get('bbox'), bool(entry.get('iscrowd'))
    try:
        x, y, width, height = map(float, bbox)
    except (TypeError, ValueError, OverflowError):
        return Entry(number, name, None, None, difficult,
                     f'bbox is not four numbers: {str(bbox)[:60]}')
    if width < 0 or height < 0:
        return Entry(number, name, None, None, difficult, 'box has a negative size')
    return Entry(number, name, (x, y, x + width, y + height), None, difficult)
