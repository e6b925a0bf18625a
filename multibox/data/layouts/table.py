"""A CSV table with one object per row: filename, width, height, class, xmin, ymin, xmax, ymax."""
import csv
from pathlib import Path

from multibox.data.annotations import CORNERS, Annotation, Entry
from multibox.data.frames import is_finite_size
from multibox.data.layouts.found import Found
from multibox.data.layouts.roles import assign, role_of
from multibox.data.listing import Tree, normal
from multibox.errors import UserError

COLUMNS = 'filename', 'class', *CORNERS


def read_table(folder: Path, train: bool) -> Found | None:
    """Read the tables of a folder. Coordinates count from 1, as in VOC's files.

    A table is for training, validation or test if its name says so.

    Args:
        folder: the folder; the images may lie in any folder under it.
        train: False does not read a training table where there is another.

    Returns:
        :class:`Found`; None if no CSV file has these columns.

    Raises:
        UserError: a table cannot be read.
    """
    tables = {path: rows for path in sorted(folder.glob('*.csv')) if (rows := _rows(path))}
    if not tables:
        return None
    roles = {path: role_of(path.stem) for path in tables}
    if not train and {'val', 'test'} & set(roles.values()):
        tables = {path: rows for path, rows in tables.items() if roles[path] in ('val', 'test')}
    tree = Tree(folder)
    sets: dict = {}
    for path, rows in tables.items():
        sets.setdefault(roles[path], []).extend(_annotations(path, rows, tree))
    return assign(sets, folder, None, [], [], train)


def _rows(path):
    """The rows as dicts with lower-case names, and their line numbers; None without the columns."""
    if not path.is_file():
        return None
    try:
        text = path.read_text(encoding='utf-8-sig')
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f'{path}: cannot be read ({error}); save the table as UTF-8') from None
    header = text.partition('\n')[0]
    reader = csv.reader(text.splitlines(), delimiter=max(',;\t', key=header.count))
    try:
        rows = list(enumerate(reader, start=1))
    except csv.Error as error:
        raise UserError(f'{path}: cannot be read ({error})') from None
    names = [name.strip().lower() for name in rows[0][1]] if rows else []
    if not set(COLUMNS) <= set(names):
        return None
    return [(line, dict(zip(names, (cell.strip() for cell in row)))) for line, row in rows[1:]
            if row]


def _annotations(path, rows, tree):
    images: dict[str, list] = {}
    for line, row in rows:
        images.setdefault(row.get('filename', ''), []).append((line, row))
    for name, its_rows in images.items():
        base = Path(name.replace('\\', '/')).name
        found = [image for image in tree.nearest(Path(base).stem, path, base)
                 if image.name == base or not Path(base).suffix]
        fault = None
        if not found:
            fault = path.parent / (base or 'no name'), 'image file is missing'
        elif len(found) > 1:
            fault = path, f'{base} is in {" and in ".join(str(f.parent) for f in found[:2])}'
        entries = [_entry(line, row) for line, row in its_rows
                   if any(row.get(corner) for corner in CORNERS) or row.get('class')]
        yield Annotation(path, found[0] if found else None, entries, _frame(its_rows[0][1]),
                         fault=fault)


def _frame(row):
    try:
        size = float(row['width']), float(row['height'])
    except (KeyError, ValueError):
        return None
    return tuple(map(round, size)) if is_finite_size(*size) else None


def _entry(line, row):
    written = tuple(row.get(corner) for corner in CORNERS)
    try:
        return Entry(line, normal(row.get('class') or ''), tuple(map(float, written)), written)
    except (TypeError, ValueError):
        return Entry(line, normal(row.get('class') or ''), None, written,
                     fault='box coordinates are missing or not numbers')
