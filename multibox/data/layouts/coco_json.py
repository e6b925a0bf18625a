"""A file of COCO: its JSON, its ids and its categories, checked."""
import json
import math
from collections import Counter
from pathlib import Path
from typing import Any

from multibox.data.classes import fault_of_name
from multibox.data.listing import normal
from multibox.data.reading import read_text, reason_of, shown
from multibox.errors import UserError

KEYS = 'images', 'annotations', 'categories'
MAX_BYTES = 2 ** 31  # instances_train2017.json has 449 MB
MAX_DIGITS = 300  # of a whole number; longer ones are read as floats, because Python refuses some
UNUSED = 'segmentation', 'keypoints'  # most of the memory of a large file


def load(path: Path, strict: bool) -> dict | None:
    """Read a file of COCO, without the outlines of its objects.

    Args:
        path: the file.
        strict: whether the name of the file says that it is COCO's.

    Returns:
        The content; None for a JSON file of another kind, unless ``strict``.

    Raises:
        UserError: a file that has to be COCO's is not, or a key occurs twice in an object.
    """
    fault = f'it needs the lists {", ".join(KEYS)}'
    try:
        content = json.loads(read_text(path, MAX_BYTES), parse_int=_whole,
                             object_pairs_hook=_object)
        if isinstance(content, dict) and all(isinstance(content.get(key), list) for key in KEYS):
            return content
        if isinstance(content, dict) and 'images' in content and 'annotations' in content and any(
                isinstance(content.get(key), list) for key in KEYS):  # else settings of a run
            absent = [key for key in KEYS if not isinstance(content.get(key), list)]
            strict, fault = True, f'{" and ".join(absent)} is no list; {fault}'
    except UserError as error:
        fault = reason_of(error, path)
    except RecursionError:
        fault = 'it is nested too deeply'
    except ValueError as error:
        fault = str(error)
    if strict:
        raise UserError(f'{path}: not a readable file of COCO instances ({fault}); export it again')
    return None


def _whole(digits):
    return int(digits) if len(digits) <= MAX_DIGITS else float(digits)


def _object(pairs):
    content = dict(pairs)
    if len(content) < len(pairs):
        (twice, _), = Counter(key for key, _ in pairs).most_common(1)
        raise ValueError(f'the key {shown(twice)} occurs twice in an object')
    for key in UNUSED:
        content.pop(key, None)
    return content


def id_of(value: Any) -> int | float | str:
    """An id; some tools write numbers as text.

    Raises:
        ValueError: the value is no number and no text.
    """
    if isinstance(value, bool) or not isinstance(value, (int, float, str)) or (
            isinstance(value, float) and not math.isfinite(value)):
        raise ValueError(f'the id is {shown(value)}')
    is_number = isinstance(value, str) and value.isascii() and value.isdigit()
    return int(value) if is_number and len(str(value)) <= MAX_DIGITS else value


def categories_of(path: Path, content: dict) -> dict:
    """{id: name}, by rising id; a class that only names the group of the others is left out.

    Raises:
        UserError: a category is damaged, or two have one name.
    """
    found: dict = {}
    groups = set()
    for position, category in enumerate(content['categories'], start=1):
        try:
            if not isinstance(category['name'], (str, int)) or isinstance(category['name'], bool):
                raise ValueError(f'its name is {shown(category["name"])}')
            name = normal(str(category['name']))
            if fault := fault_of_name(name) or (None if name.strip() else 'it has no name'):
                raise ValueError(fault)
            if found.setdefault(id_of(category['id']), name) != name:
                raise ValueError(f'{found[id_of(category["id"])]!r} has the same id')
        except KeyError as error:
            raise _damaged(path, position, f'it has no {error.args[0]}') from None
        except (TypeError, ValueError) as error:
            raise _damaged(path, position, error) from None
        groups.add(str(category.get('supercategory')))
    used = {id_of(entry['category_id']) for entry in content['annotations']
            if isinstance(entry, dict) and isinstance(entry.get('category_id'), (int, str))
            and not isinstance(entry['category_id'], bool)}
    try:
        ids = sorted(found)
    except TypeError:  # ids of several types
        ids = list(found)
    found = {i: found[i] for i in ids if i in used or i != 0 or found[i] not in groups}
    by_name: dict = {}
    for i, name in found.items():
        if by_name.setdefault(name, i) != i:
            raise UserError(f'{path}: the categories {by_name[name]} and {i} are both named '
                            f'{name!r}; give each class one id')
    return found


def _damaged(path, position, fault):
    return UserError(f'{path}: not a readable file of COCO instances (category {position}: '
                     f'{fault}); export it again')
