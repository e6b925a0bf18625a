"""A CSV table with one object per row: filename, width, height, class, xmin, ymin, xmax, ymax."""
import csv
import io
from pathlib import Path

from multibox.data.annotations import CORNERS, Annotation, Entry
from multibox.data.frames import stated_size
from multibox.data.layouts.found import Found
from multibox.data.layouts.images import Images
from multibox.data.layouts.roles import assign, role_in, role_of
from multibox.data.listing import files_near, normal
from multibox.errors import UserError

COLUMNS = 'filename', 'class', *CORNERS


def read_table(folder: Path, train: bool) -> Found | None:
    """Read the tables of a folder and of its folders. Coordinates count from 1, as in VOC's files.

    A table is for training, validation or test if its name or that of its folder says so.

    Args:
        folder: the folder; the images may lie in any folder under it.
        train: False does not read a training table where there is another.

    Returns:
        :class:`Found`; None if no CSV file has these columns.

    Raises:
        UserError: a table cannot be read.
    """
    tables = {path: rows for path in files_near(folder, '.csv') if (rows := _rows(path))}
    if not tables:
        return None
    roles = {path: role_of(path.stem) or role_in(path, folder) for path in tables}
    if not train and {'val', 'test'} & set(roles.values()):
        tables = {path: rows for path, rows in tables.items() if roles[path] in ('val', 'test')}
    images = Images(folder)
    sets: dict = {}
    for path, rows in tables.items():
        sets.setdefault(roles[path], []).extend(_annotations(path, rows, images, roles[path]))
    return assign(sets, folder, None, [], [], train)


def _rows(path):
    """The rows as dicts with lower-case names, and their line numbers; None without the columns."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UserError(f'{path}: cannot be read ({error})') from None
    header = content.partition(b'\n')[0].decode('utf-8-sig', 'replace').lower()
    if not all(name in header for name in COLUMNS):
        return None
    try:
        text = content.decode('utf-8-sig')
    except UnicodeDecodeError as error:
        raise UserError(f'{path}: cannot be read ({error}); save the table as UTF-8') from None
    reader = csv.reader(io.StringIO(text, newline=''), delimiter=max(',;\t', key=header.count))
    try:
        rows = list(enumerate(reader, start=1))
    except csv.Error as error:
        raise UserError(f'{path}: cannot be read ({error})') from None
    names = [name.strip().lower() for name in rows[0][1]] if rows else []
    if not set(COLUMNS) <= set(names):
        return None
    return [(line, dict(zip(names, (cell.strip() for cell in row)))) for line, row in rows[1:]
            if row]


def _annotations(path, rows, images, role):
    names: dict[str, list] = {}
    for line, row in rows:
        names.setdefault(row.get('filename', ''), []).append((line, row))
    found = images.find(names, path, role)
    for name, its_rows in names.items():
        image = found.get(name)
        entries = [_entry(line, row) for line, row in its_rows
                   if any(row.get(corner) for corner in CORNERS) or row.get('class')]
        first = its_rows[0][1]
        fault = None if image else (
            path.parent / (name or 'no name'), 'image file is missing, or several have this name')
        yield Annotation(path, image, entries, stated_size(first.get('width'), first.get('height')),
                         fault=fault)


def _entry(line, row):
    written = tuple(row.get(corner) for corner in CORNERS)
    try:
        return Entry(line, normal(row.get('class') or ''), tuple(map(float, written)), written)
    except (TypeError, ValueError):
        return Entry(line, normal(row.get('class') or ''), None, written,
                     fault='box coordinates are missing or not numbers')
