"""The sets of a data set by their usual names: to train, to validate and to test."""
import re
from itertools import chain
from pathlib import Path

from multibox.data.layouts.found import Found

NAMES = {'train': 'train', 'training': 'train', 'trainval': 'train', 'val': 'val', 'valid': 'val',
         'validation': 'val', 'dev': 'val', 'minival': 'val', 'test': 'test', 'testing': 'test'}


def role_of(name: str) -> str | None:
    """'train', 'val' or 'test' if a part of a name says so, else None."""
    roles = [NAMES.get(part) for part in re.split(r'[^a-z]+', name.lower())]
    return next(filter(None, roles), None)


def role_in(path: Path, folder: Path) -> str | None:
    """The role that the nearest of the folders between ``folder`` and a file has by its name."""
    inner = path.parent.relative_to(folder).parts if path.is_relative_to(folder) else ()
    return next(filter(None, map(role_of, reversed(inner))), None)


def part_folders(folder: Path) -> dict[str, Path]:
    """The folders in a folder that are named after a set: {role: folder}."""
    return {NAMES[path.name.lower()]: path for path in sorted(folder.iterdir())
            if path.name.lower() in NAMES and path.is_dir()}


def by_folder(annotations: list, folder: Path, notes: list, train: bool) -> Found:
    """Divide annotations by the names of their folders; arguments as for :func:`assign`."""
    sets: dict = {}
    for annotation in annotations:
        sets.setdefault(role_in(annotation.file, folder), []).append(annotation)
    return assign(sets, folder, None, notes, [], train)


def assign(sets: dict, where: Path, label_names: tuple | None, notes: list,
           problems: list, train: bool = True) -> Found:
    """Decide which sets are trained on and evaluated on.

    Args:
        sets: {role: list of annotations}; the role None holds those of no set.
        where: the folder or file, for remarks.
        label_names: the class names, or None.
        notes: list of remarks, to which this function adds.
        problems: list of problems.
        train: False asks for the set to evaluate on only.

    Returns:
        :class:`Found`. The set to evaluate on is 'test', else 'val'; without both, or without a set
        to train on where one is needed, the data are not divided.
    """
    if sets.get('test') and sets.get('val') and sets.get('train'):
        notes.append(f'{where}: the training set is trained on and the test set is evaluated on; '
                     f'the validation set (val, {len(sets["val"])} images) is not used')
    if sets.get(None) and len([role for role in sets if sets[role]]) > 2:
        notes.append(f'{where}: {len(sets[None])} images are for no set by the name of their file; '
                     'they are not used')
    test = sets.get('test') or sets.get('val') or []
    train_set = sets.get('train') or []
    if test and (train_set or not train):
        return Found(train_set, test, label_names, notes, True, problems)
    return Found([*chain(*sets.values())], [], label_names, notes, False, problems)
