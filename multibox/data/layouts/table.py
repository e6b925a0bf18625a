"""A CSV table with one object per row: filename, width, height, class, xmin, ymin, xmax, ymax."""
import csv
import io
from pathlib import Path

from multibox.data.annotations import CORNERS, Annotation
from multibox.data.entries import read_entry
from multibox.data.frames import stated_size
from multibox.data.layouts.found import Found
from multibox.data.layouts.images import Images
from multibox.data.layouts.roles import assign, role_in, role_of
from multibox.data.listing import files_near
from multibox.data.reading import MAX_LINES, MAX_PATH, read_text
from multibox.errors import UserError
from multibox.files import reading

COLUMNS = 'filename', 'class', *CORNERS
USED = *COLUMNS, 'width', 'height'
MAX_BYTES = 2 ** 28
MAX_HEADER = 2 ** 16  # bytes


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
    with reading(path), open(path, 'rb') as file:
        header = file.readline(MAX_HEADER).decode('utf-8-sig', 'replace').lower()
    if not all(name in header for name in COLUMNS):
        return None
    text = read_text(path, MAX_BYTES)
    if text.count('\n') > MAX_LINES:
        raise UserError(f'{path}: has more than {MAX_LINES:,} lines; divide the table')
    reader = csv.reader(io.StringIO(text, newline=''), delimiter=max(',;\t', key=header.count))
    names = None
    rows = []
    try:
        for line, row in enumerate(reader, start=1):
            if names is None:
                names = [name.strip().lower() for name in row]
                if not set(COLUMNS) <= set(names):
                    return None
                wanted = [n for n, name in enumerate(names) if name in USED]
            elif row:
                rows.append((line, {names[n]: row[n].strip() for n in wanted if n < len(row)}))
    except csv.Error as error:
        raise UserError(f'{path}: cannot be read (near row {reader.line_num}: {error}); close the '
                        'quotes, or save the table again') from None
    return rows


def _annotations(path, rows, images, role):
    names: dict[str, list] = {}
    for line, row in rows:
        names.setdefault(row.get('filename', ''), []).append((line, row))
    found = images.find([name for name in names if len(name) <= MAX_PATH], path, role)
    for name, its_rows in names.items():
        image = found.get(name)
        entries = [read_entry(line, row.get('class'), tuple(map(row.get, CORNERS)))
                   for line, row in its_rows
                   if any(row.get(corner) for corner in CORNERS) or row.get('class')]
        first = its_rows[0][1]
        fault = None if image else (
            path.parent / (name[:MAX_PATH] or 'no name'),
            'image file is missing, or several have this name')
        yield Annotation(path, image, entries, stated_size(first.get('width'), first.get('height')),
                         fault=fault)
