"""Names of files, as lists write them and as folders have them."""
import os
import re
import unicodedata
from collections.abc import Iterable
from pathlib import Path

from multibox.data.pictures import SUFFIXES
from multibox.errors import UserError

FLAG = re.compile(r'\s+[-+]?[01]$')  # the second column in the lists of one class: 1, 0 or -1
BACKGROUND = 'background', '__background__', '_background_'


def normal(name: str) -> str:
    """A name in Unicode's form C. macOS writes file names in form D."""
    return unicodedata.normalize('NFC', name)


class Files:
    """The files of one folder by their names without suffix.

    Args:
        folder: the folder; one that does not exist is empty.
        suffixes: lower-case suffixes of the files that count.
    """

    def __init__(self, folder: Path, suffixes: Iterable[str]):
        self._by_stem: dict[str, list] = {}
        for path in sorted(folder.iterdir()) if folder.is_dir() else ():
            if path.suffix.lower() in suffixes:
                self._by_stem.setdefault(normal(path.stem), []).append(path)

    def __iter__(self):
        return iter(self._by_stem)

    def __contains__(self, stem):
        return stem in self._by_stem

    def find(self, stem: str) -> list[Path]:
        """The files of a name, in whichever form of Unicode; the exact name comes first."""
        found = self._by_stem.get(normal(stem), [])
        return sorted(found, key=lambda path: path.stem != stem)

    def several(self) -> list[list[Path]]:
        """The files that share a name and differ in the suffix or in the form of Unicode."""
        return [paths for paths in self._by_stem.values() if len(paths) > 1]


class Tree:
    """All image files under a folder, found by their names, whatever their folders.

    Args:
        folder: the folder; hidden folders in it do not count.
    """

    def __init__(self, folder: Path):
        self.images = [path for path in walk(folder) if is_image(path)]
        self._by_stem: dict[str, list] = {}
        for path in self.images:
            self._by_stem.setdefault(normal(path.stem), []).append(path)

    def nearest(self, stem: str, beside: Path, name: str | None = None) -> list[Path]:
        """The images of a name that are nearest to a file.

        Args:
            stem: the name without suffix.
            beside: the file.
            name: a name with suffix, which comes first among images in one folder.

        Returns:
            The images in the nearest folder, or of several those in a folder of the same name;
            several folders may remain.
        """
        def distance(path):
            near, far = beside.parent.parts, path.parent.parts
            # Of images/a/1.jpg and images/b/1.jpg, the first belongs to xml/a/1.xml.
            return len(near) + len(far) - 2 * _shared(near, far), -_shared(near[::-1], far[::-1])

        found = self._by_stem.get(normal(stem), [])
        least = min(map(distance, found), default=None)
        return sorted((path for path in found if distance(path) == least),
                      key=lambda path: (path.name != name, path.stem != stem))


def _shared(one, other):
    """The number of equal elements at the beginning of two sequences."""
    return next((n for n, (a, b) in enumerate(zip(one, other)) if a != b),
                min(len(one), len(other)))


def walk(folder: Path) -> list[Path]:
    """The files under a folder, sorted, without those in hidden folders."""
    found, seen = [], set()
    for root, folders, names in os.walk(folder, followlinks=True):
        folders[:] = sorted(name for name in folders if not name.startswith(('.', '__MACOSX')))
        if (real := os.path.realpath(root)) in seen:  # links may form a circle
            folders[:], names = [], []
        seen.add(real)
        found += [Path(root, name) for name in sorted(names) if not name.startswith('.')]
    return found


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
    for text in line, FLAG.sub('', line):
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
