"""The names of classes: lists of them, and the limits that every layout keeps."""
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from multibox.data.listing import normal
from multibox.data.reading import read_lines
from multibox.errors import UserError

BACKGROUND = 'background', '__background__', '_background_'
MAX_CLASSES = 10_000  # a network needs weights per class
MAX_NAME = 200  # characters
MAX_SHOWN = 10  # names in a message


def fault_of_name(name: str) -> str | None:
    """Why a text cannot name a class, or None if it can."""
    if len(name) > MAX_NAME:
        return f'class name of {len(name):,} characters; {MAX_NAME} are allowed'
    if any('\ud800' <= character <= '\udfff' for character in name):
        return f'class name {name!a} is no valid Unicode'
    return None


def check_names(names: Iterable[str], where: Path) -> tuple[str, ...]:
    """Check the classes of a data set.

    Args:
        names: the names.
        where: the file that lists them, or the folder of the data set.

    Returns:
        The names.

    Raises:
        UserError: a name is too long, no valid Unicode or listed twice, or there are too many.
    """
    names = tuple(names)
    if len(names) > MAX_CLASSES:
        raise UserError(f'{where}: has {len(names):,} classes, such as {short_list(names[:3])}; at '
                        f'most {MAX_CLASSES:,} can be trained, so join some of them')
    for number, name in enumerate(names, start=1):
        if fault := fault_of_name(name):
            raise UserError(f'{where}: class {number}: {fault}; rename the class')
    twice = sorted(name for name, n in Counter(names).items() if n > 1)
    if twice:
        raise UserError(f'{where}: names {short_list(twice)} twice; name every class once')
    return names


def read_label_names(path: Path, notes: list) -> tuple[str, ...]:
    """The class names of labels.txt, one per line, or of CVAT's labelmap.txt.

    Args:
        path: the file.
        notes: list of str, to which a remark on a line for the background is added.

    Raises:
        UserError: the file cannot be read, a name occurs twice or is no name, or there is none.
    """
    names = [normal(line) for line in read_lines(path) if not line.startswith('#')]
    if path.name == 'labelmap.txt':  # label:color_rgb:parts:actions
        names = [line.partition(':')[0] for line in names]
    check_names(names, path)
    classes = tuple(name for name in names if name.casefold() not in BACKGROUND)
    if len(classes) < len(names) and path.name != 'labelmap.txt':
        notes.append(f'{path}: the line for the background is not counted as a class')
    if not classes:
        raise UserError(f'{path}: names no class; write one name per line')
    return classes


def short_list(names: Iterable[str]) -> str:
    """Names in a line of limited length."""
    names = list(names)
    more = f' and {len(names) - MAX_SHOWN:,} more' if len(names) > MAX_SHOWN else ''
    return ', '.join(names[:MAX_SHOWN]) + more
