"""The settings and the class names of YOLO's layout: data.yaml, or a list of classes."""
import os
from pathlib import Path

from multibox.data.classes import BACKGROUND, MAX_CLASSES, check_names
from multibox.data.listing import files_near
from multibox.data.reading import read_lines, read_text, reason_of, shown
from multibox.errors import UserError

import yaml

CLASSES = 'classes.txt', 'obj.names', 'labels/classes.txt', 'labels.txt'
MAX_BYTES = 2 ** 19  # of data.yaml: 10,000 names have 200 kB, and PyYAML reads 100 kB per second
USUAL = 'data', 'dataset'


def read_config(folder: Path) -> dict | None:
    """Read the YAML file in a folder that has the entry ``names``.

    Returns:
        Its entries, which are texts, lists and dicts, and its path as ``file``; None without one.

    Raises:
        UserError: data.yaml or dataset.yaml cannot be read.
    """
    for path in files_near(folder, '.yaml') + files_near(folder, '.yml'):
        if path.parent != folder:
            continue
        try:
            text = read_text(path, MAX_BYTES)
            content = yaml.load(text, yaml.BaseLoader)  # texts only: a class may be called 'on'
        except UserError as error:
            reason = reason_of(error, path)
        except RecursionError:
            reason = 'it is nested too deeply'
        except (yaml.YAMLError, ValueError, OverflowError) as error:  # of a bad escape
            reason = ' '.join(str(error).split())
        else:
            if isinstance(content, dict) and 'names' in content:
                return {**content, 'file': path}
            continue
        if path.stem in USUAL:  # else of another program
            raise UserError(f'{path}: cannot be read as YAML ({reason}); correct it, or remove it')
    return None


def names_of(folder: Path, config: dict | None, notes: list) -> tuple[str, ...] | None:
    """The class names in the order of their numbers.

    Args:
        folder: the folder of the data set.
        config: the result of :func:`read_config`.
        notes: list of str, to which a remark on a class for the background is added.

    Returns:
        The names; None if no file has them.

    Raises:
        UserError: the names are no names.
    """
    if config:
        path, names = config['file'], config['names']
        if isinstance(names, dict):
            names = _in_order(names, path)
        if not isinstance(names, list) or not names or not all(
                isinstance(name, str) for name in names):  # aliases in others explode as text
            raise _no_names(path)
    else:
        path = next((folder / name for name in CLASSES if os.path.lexists(folder / name)), None)
        if path is None:
            return None
        names = read_lines(path)
    notes.extend(f'{path}: the class {name!r} is trained on like the others; the network has a '
                 'background of its own' for name in names if name.casefold() in BACKGROUND)
    return check_names(names, path)


def _in_order(names, path):
    """The names of a mapping from numbers to names; a number in a gap has a name of its own."""
    if not all(isinstance(key, str) and key.isascii() and key.isdigit() for key in names):
        raise _no_names(path)
    highest = max(names, key=lambda key: (len(key), key), default='0')
    if len(highest) > 9 or int(highest) >= MAX_CLASSES:
        raise UserError(f'{path}: names counts to {shown(highest)}; number the classes from 0 '
                        'without gaps')
    return [names.get(str(n), f'class {n}') for n in range(max(map(int, names), default=-1) + 1)]


def _no_names(path):
    return UserError(f'{path}: names is neither a list nor a mapping from numbers to names of '
                     'classes; write the names of the classes')
