"""Names of files, as lists write them and as folders have them."""
import os
import unicodedata
from collections.abc import Iterable, Sequence
from pathlib import Path

from multibox.data.pictures import SUFFIXES
from multibox.data.reading import read_lines
from multibox.errors import UserError

FLAGS = '0', '1', '-1', '+1', '-0', '+0'  # the second column in the lists of one class
MAX_DEPTH = 100  # folders in folders
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
        self._exact: dict[str, dict] = {}  # {stem: {folder: images}}
        self._folded: dict[str, dict] = {}
        for path in self.images:
            stem = normal(path.stem)
            for stems, key in ((self._exact, stem), (self._folded, stem.casefold())):
                stems.setdefault(key, {}).setdefault(path.parent, []).append(path)

    def _find(self, stem):
        """{folder: images} of a name; case counts only if that decides."""
        key = normal(stem)
        return self._exact.get(key) or self._folded.get(key.casefold(), {})

    def named(self, name: str) -> list[Path]:
        """The images of a name, with or without suffix; case counts only if that decides."""
        suffix = Path(name).suffix.lower()
        return [path for paths in self._find(Path(name).stem).values() for path in paths
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
        near = beside.parent.parts

        def distance(folder):
            far = folder.parts
            # Of images/a/1.jpg and images/b/1.jpg, the first belongs to xml/a/1.xml.
            return (len(near) + len(far) - 2 * shared(near, far), -shared(near[::-1], far[::-1]),
                    folder.name.lower() not in IMAGE_FOLDERS)

        found = self._find(stem)
        # Only the folder of the file itself is at distance 0, so the others need not be measured.
        distances = {folder: distance(folder)
                     for folder in ([beside.parent] if beside.parent in found else found)}
        least = min(distances.values(), default=None)
        return sorted((path for folder in distances if distances[folder] == least
                       for path in found[folder]),
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

    Raises:
        UserError: the folders are nested more than :data:`MAX_DEPTH` deep.
        OSError: a folder cannot be listed.
    """
    found: list[Path] = []
    waiting, seen = [(folder, 0)], set()
    while waiting:
        parent, depth = waiting.pop()
        if depth > MAX_DEPTH:
            raise UserError(f'{folder}: holds folders that are nested more than {MAX_DEPTH} deep; '
                            'give a folder of images and annotations alone')
        try:
            status = os.stat(parent)
            with os.scandir(parent) as listed:
                entries = sorted(listed, key=lambda entry: entry.name)
        except (FileNotFoundError, NotADirectoryError):
            continue
        if (status.st_dev, status.st_ino) in seen:  # links may form a circle
            continue
        seen.add((status.st_dev, status.st_ino))
        inner_folders = {entry.name for entry in entries if _is_folder(entry)}
        found += [Path(entry.path) for entry in entries
                  if entry.name not in inner_folders and not entry.name.startswith(hidden)]
        waiting += [(Path(parent, name), depth + 1) for name in sorted(inner_folders, reverse=True)
                    if not name.startswith(('.', '__MACOSX'))]
    return found


def _is_folder(entry):
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False


def inner(folder: Path, name: str) -> Path:
    """A folder in another one; upper and lower case count only if there are several."""
    if (folder / name).is_dir() or not folder.is_dir():
        return folder / name
    alike = [path for path in folder.iterdir()
             if path.name.casefold() == name.casefold() and path.is_dir()]
    return alike[0] if len(alike) == 1 else folder / name


def files_near(folder: Path, suffix: str) -> list[Path]:
    """The files of a suffix in a folder and in its folders, sorted, without hidden ones."""
    folders = [folder, *sorted(path for path in folder.iterdir() if path.is_dir())]
    return [path for parent in folders if not parent.name.startswith('.') or parent == folder
            for path in sorted(parent.iterdir()) if path.suffix.lower() == suffix
            and path.is_file() and not path.name.startswith('._')]


def is_image(path: Path) -> bool:
    """Whether a file has the suffix of an image."""
    return path.suffix.lower() in SUFFIXES


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
    if normal(line) in known:
        return line
    *rest, last = line.rsplit(maxsplit=1)
    unflagged = rest[0] if rest and last in FLAGS else line
    readings = []
    for text in dict.fromkeys((line, unflagged, unflagged.strip('"\''))):
        for name in dict.fromkeys((text, text.replace('\\', '/').rpartition('/')[2])):
            suffix = Path(name).suffix
            has_suffix = suffix.lower() in (*SUFFIXES, '.xml')
            readings += [name, name[:-len(suffix)] if has_suffix else name]
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
