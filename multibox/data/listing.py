"""Names of files, as lists write them and as folders have them."""
import os
import re
import unicodedata
from collections.abc import Iterable, Sequence
from pathlib import Path

from multibox.data.pictures import SUFFIXES
from multibox.errors import UserError

FLAG = re.compile(r'\s+[-+]?[01]$')  # the second column in the lists of one class: 1, 0 or -1
BACKGROUND = 'background', '__background__', '_background_'
IMAGE_FOLDERS = 'images', 'image', 'imgs', 'img', 'jpegimages', 'photos', 'pictures', 'jpg'


def normal(name: str) -> str:
    """A name in Unicode's form C. macOS writes file names in form D."""
    return unicodedata.normalize('NFC', name)


class Files:
    """The files of one folder by their names without suffix.

    A file in an inner folder has a name with this folder, such as ``a/1``.

    Args:
        folder: the folder; one that does not exist is empty.
        suffixes: lower-case suffixes of the files that count.
    """

    def __init__(self, folder: Path, suffixes: Iterable[str]):
        self._by_name: dict[str, list] = {}
        folders = sorted(filter(Path.is_dir, folder.iterdir())) if folder.is_dir() else []
        for path in (*walk(folder, '._'), *folders):  # a folder called 1.jpg is to be listed
            if path.suffix.lower() in suffixes:
                name = path.relative_to(folder).with_suffix('').as_posix()
                self._by_name.setdefault(normal(name), []).append(path)

    def __iter__(self):
        return iter(self._by_name)

    def __contains__(self, name):
        return name in self._by_name

    def find(self, name: str) -> list[Path]:
        """The files of a name, in whichever form of Unicode; the exact name comes first."""
        found = self._by_name.get(normal(name), [])
        return sorted(found, key=lambda path: not f'/{path.with_suffix("").as_posix()}'.endswith(
            f'/{name}'))

    def several(self) -> list[list[Path]]:
        """The files that share a name and differ in the suffix or in the form of Unicode."""
        return [paths for paths in self._by_name.values() if len(paths) > 1]


class Tree:
    """All image files under a folder, found by their names, whatever their folders.

    Args:
        folder: the folder; hidden folders in it do not count.
    """

    def __init__(self, folder: Path):
        self.images = [path for path in walk(folder) if is_image(path)]
        self._by_stem: dict[str, list] = {}
        for path in self.images:
            for key in {normal(path.stem), normal(path.stem).casefold()}:
                self._by_stem.setdefault(key, []).append(path)

    def _find(self, stem):
        key = normal(stem)
        exact = [path for path in self._by_stem.get(key, []) if normal(path.stem) == key]
        return exact or self._by_stem.get(key.casefold(), [])

    def named(self, name: str) -> list[Path]:
        """The images of a name, with or without suffix; case counts only if that decides."""
        suffix = Path(name).suffix.lower()
        return [path for path in self._find(Path(name).stem)
                if path.suffix.lower() == suffix or not suffix]

    def nearest(self, stem: str, beside: Path, name: str | None = None) -> list[Path]:
        """The images of a name that are nearest to a file.

        Args:
            stem: the name without suffix.
            beside: the file.
            name: a name with suffix, which comes first among images in one folder.

        Returns:
            The images in the nearest folder, or of several those in a folder of the same name, or
            in one that is called after images; several folders may remain.
        """
        def distance(path):
            near, far = beside.parent.parts, path.parent.parts
            # Of images/a/1.jpg and images/b/1.jpg, the first belongs to xml/a/1.xml.
            return (len(near) + len(far) - 2 * shared(near, far), -shared(near[::-1], far[::-1]),
                    path.parent.name.lower() not in IMAGE_FOLDERS)

        found = self._find(stem)
        least = min(map(distance, found), default=None)
        return sorted((path for path in found if distance(path) == least),
                      key=lambda path: (path.name != name, path.stem != stem))


def shared(one: Sequence, other: Sequence) -> int:
    """The number of equal elements at the beginning of two sequences."""
    return next((n for n, (a, b) in enumerate(zip(one, other)) if a != b),
                min(len(one), len(other)))


def split_path(name: str) -> list[str]:
    """The folders and the file of a path in the style of any system, without '.' and '..'."""
    parts = name.replace('\\', '/').split('/')
    return [part for part in parts if part not in ('', '.', '..') and not part.endswith(':')]


def walk(folder: Path, hidden: str = '.') -> list[Path]:
    """The files under a folder, sorted, without those in hidden folders.

    Args:
        folder: the folder.
        hidden: the beginning of the names of hidden files; those of macOS begin with '._'.
    """
    found, seen = [], set()
    for root, folders, names in os.walk(folder, onerror=_refuse, followlinks=True):
        folders[:] = sorted(name for name in folders if not name.startswith(('.', '__MACOSX')))
        if (real := os.path.realpath(root)) in seen:  # links may form a circle
            folders[:], names = [], []
        seen.add(real)
        found += [Path(root, name) for name in sorted(names) if not name.startswith(hidden)]
    return found


def inner(folder: Path, name: str) -> Path:
    """A folder in another one; upper and lower case count only if there are several."""
    if (folder / name).is_dir() or not folder.is_dir():
        return folder / name
    alike = [path for path in folder.iterdir()
             if path.is_dir() and path.name.casefold() == name.casefold()]
    return alike[0] if len(alike) == 1 else folder / name


def _refuse(error):
    if not isinstance(error, FileNotFoundError):
        raise error


def files_near(folder: Path, suffix: str) -> list[Path]:
    """The files of a suffix in a folder and in its folders, sorted, without hidden ones."""
    folders = [folder, *sorted(path for path in folder.iterdir() if path.is_dir())]
    return [path for parent in folders if not parent.name.startswith('.') or parent == folder
            for path in sorted(parent.iterdir()) if path.suffix.lower() == suffix
            and path.is_file() and not path.name.startswith('._')]


def is_image(path: Path) -> bool:
    """Whether a file has the suffix of an image."""
    return path.suffix.lower() in SUFFIXES


def read_lines(path: Path) -> list[str]:
    """The lines of a text file that are not blank, without spaces around them.

    Raises:
        UserError: the file cannot be read.
    """
    try:
        text = path.read_text(encoding='utf-8-sig')
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f'{path}: cannot be read ({error}); it should list one name per line '
                        'in UTF-8') from error
    return [line.strip() for line in text.splitlines() if line.strip()]


def resolve(line: str, known: Iterable) -> str:
    """The name without suffix that a line of a list means.

    Names may hold spaces. A line may end in the suffix of a file, and in a flag. It may begin with
    folders.

    Args:
        line: the line.
        known: the names of the files, in form C.

    Returns:
        The first reading of the line that is known, else the most likely one.
    """
    readings = []
    for text in (line, FLAG.sub('', line), FLAG.sub('', line).strip('"\'')):
        for name in text, text.replace('\\', '/').rpartition('/')[2]:
            path = Path(name)
            has_suffix = is_image(path) or path.suffix.lower() == '.xml'
            readings += [name, name[:-len(path.suffix)] if has_suffix else name]
    for reading in readings:
        if normal(reading) in known:
            return reading
    return readings[-1]


def read_names(path: Path, known: Iterable, notes: list) -> list[str]:
    """The names that a list of images holds, each once.

    Args:
        path: the list, one name per line.
        known: the names of the files, in form C.
        notes: list of str, to which a remark on repeated names is added.

    Raises:
        UserError: the list cannot be read.
    """
    names = [resolve(line, known) for line in read_lines(path)]
    unique = list(dict.fromkeys(map(normal, names)))
    if len(unique) < len(names):
        notes.append(f'{path}: {len(names) - len(unique)} names are listed more than once; each '
                     'image counts once')
    return unique


def read_label_names(path: Path, notes: list) -> tuple[str, ...]:
    """The class names of labels.txt, one per line, or of CVAT's labelmap.txt.

    Args:
        path: the file.
        notes: list of str, to which a remark on a line for the background is added.

    Raises:
        UserError: the file cannot be read, a name occurs twice, or there is none.
    """
    names = [normal(line) for line in read_lines(path) if not line.startswith('#')]
    if path.name == 'labelmap.txt':  # label:color_rgb:parts:actions
        names = [line.partition(':')[0] for line in names]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise UserError(f'{path}: names {", ".join(twice)} twice; name every class once')
    classes = tuple(name for name in names if name.casefold() not in BACKGROUND)
    if len(classes) < len(names) and path.name != 'labelmap.txt':
        notes.append(f'{path}: the line for the background is not counted as a class')
    if not classes:
        raise UserError(f'{path}: names no class; write one name per line')
    return classes
