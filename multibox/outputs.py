"""Files that a program does not write over: those of other programs, and its own sources."""
import contextlib
import os
import unicodedata
from collections.abc import Iterable
from pathlib import Path

from multibox.drawing import SOFTWARE
from multibox.errors import UserError
from multibox.files import read_json

HEAD = 256  # bytes of a picture, in which its tag stands
MAX_NAMED = 4  # files in a message
MAX_BYTES = 2 ** 28  # of a JSON file of results
LONGEST_STEM = 240  # bytes of a picture's name; file systems take 255 with the number and suffix


def check_free(folder: Path, names: Iterable[str]) -> None:
    """Refuse a folder of results in which a file has a name that the program would write.

    Args:
        folder: the folder of ``--out``, which need not exist.
        names: paths relative to the folder, which the program did not write before.

    Raises:
        UserError: there is such a file, folder or link; the message names it.
    """
    there = [name for name in names if os.path.lexists(folder / name)]
    if there:
        more = f' and {len(there) - MAX_NAMED} more' if len(there) > MAX_NAMED else ''
        raise UserError(f'--out {folder}: holds {", ".join(there[:MAX_NAMED])}{more}, which would '
                        'be overwritten; give another --out, or move them away')


def check_not_source(out: Path, source: str | Path) -> None:
    """Refuse to write a file over the file that it is made from.

    Args:
        out: the file to write.
        source: the file to read; a name that is no file counts as another file.

    Raises:
        UserError: both are one file, also through a link.
    """
    if out.exists() and os.path.exists(source) and os.path.samefile(out, source):
        raise UserError(f'{out}: is the file to read, which would be overwritten; give another '
                        'name')


def written_before(path: Path, keys: Iterable[str]) -> dict:
    """Read a JSON file if it is of a program's own kind.

    Args:
        path: the file.
        keys: entries of every file of the kind.

    Returns:
        The content; an empty dict without such a file, or if it is of another kind.
    """
    try:
        content = read_json(path, dict, MAX_BYTES)
    except UserError:
        return {}
    return content if content.keys() >= {*keys} else {}


class PictureNames:
    """Names of pictures in a folder that may hold other files; those get no new content.

    Names that differ in case or in the composition of letters only count as equal, because some
    file systems do not tell them apart.

    Args:
        folder: the folder.
        earlier: names of the pictures that an earlier run of the program wrote into the folder.
            Files of these names may be replaced if they have the tag of detect.py and are no links.
        sources: the files that the pictures are made from, which are never replaced.

    Attributes:
        rest: the earlier pictures that are still there and have not been replaced.
    """

    def __init__(self, folder: Path, earlier: Iterable[str], sources: Iterable[Path]):
        self._folder = folder
        states = [source.stat() for source in sources if source.exists()]
        kept = {(state.st_dev, state.st_ino) for state in states}
        self.rest = {name for name in earlier if self._is_replaceable(name, kept)}
        self._taken = {_fold(name) for name in os.listdir(folder) if name not in self.rest}

    def _is_replaceable(self, name, kept):
        path = self._folder / name
        try:
            if path.name != name or path.is_symlink() or not path.is_file():
                return False
            state = path.stat()
            with open(path, 'rb') as file:
                is_tagged = SOFTWARE.encode() in file.read(HEAD)
        except OSError:  # such as a name that the system cannot hold
            return False
        return is_tagged and (state.st_dev, state.st_ino) not in kept

    def choose(self, stem: str) -> str:
        """Choose the name of a picture by the stem of its photograph: STEM.png or STEM-2.png."""
        while len(os.fsencode(stem)) > LONGEST_STEM:
            stem = stem[:-1]
        name, n = f'{stem}.png', 2
        while _fold(name) in self._taken or (
                name not in self.rest and os.path.lexists(self._folder / name)):
            name, n = f'{stem}-{n}.png', n + 1
        self._taken.add(_fold(name))
        self.rest.discard(name)
        return name

    def remove_rest(self) -> int:
        """Remove the earlier pictures that have not been replaced; returns their number."""
        n_before = len(self.rest)
        for name in [*self.rest]:
            with contextlib.suppress(OSError):
                (self._folder / name).unlink()
                self.rest.discard(name)
        return n_before - len(self.rest)


def _fold(name):
    return unicodedata.normalize('NFC', name).casefold()
