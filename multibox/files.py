"""Files that a crash cannot spoil: written completely, or not at all."""
import contextlib
import json
import os
import re
import secrets
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

from multibox.errors import UserError

from chainer.serializers import save_npz as chainer_save_npz

T = TypeVar('T', dict, list)
PART = re.compile(r'\.multibox-[0-9a-f]{16}\.part')  # the name of a file that is not complete
CHAINERS = re.compile(r'tmp(snapshot_iter_[0-9]+)[a-z0-9_]{8}')  # a folder of Chainer's snapshot
MAX_JSON = 2 ** 25  # bytes of a JSON file that this package wrote


@contextlib.contextmanager
def open_whole(path: str | Path) -> Iterator[BinaryIO]:
    """Open a file that appears under its name only when all of it is on the disk.

    Until then it has a random name in the same folder, see :data:`PART`. A link of the final name
    is replaced, not followed.

    Args:
        path: the name of the file; a file of this name stays until the new one is complete.

    Yields:
        a binary file to write to.

    Raises:
        UserError: the file cannot be written (disk full, no permission).
    """
    path = Path(path)
    part = path.parent / f'.multibox-{secrets.token_hex(8)}.part'
    try:
        with open(part, 'xb') as file:  # x: never through a link that somebody has put there
            yield file
            file.flush()
            os.fsync(file.fileno())  # a rename may reach the disk before the data of the file
        os.replace(part, path)
    except OSError as error:
        raise UserError(f'{path}: cannot be written ({error.strerror}); make room or write to '
                        'another folder. A file that had this name before is unchanged') from error
    finally:
        with contextlib.suppress(OSError):  # the first error is the one to report
            part.unlink(missing_ok=True)


def remove_parts(folder: Path) -> None:
    """Remove the incomplete files that killed programs have left in a folder.

    These are files of the name :data:`PART`, and the folders in which Chainer, and so earlier
    versions, wrote a snapshot. A folder that holds anything else stays.
    """
    for path in [*folder.iterdir()] if folder.is_dir() else ():
        with contextlib.suppress(OSError):
            if PART.fullmatch(path.name):
                path.unlink()
            elif match := CHAINERS.fullmatch(path.name):
                names = match[1], f'.{match[1]}.part'
                parts = [*path.iterdir()] if not path.is_symlink() else []
                if all(part.name in names or PART.fullmatch(part.name) for part in parts):
                    for part in parts:
                        part.unlink()
                    path.rmdir()


def read_whole(path: str | Path, limit: int) -> bytes:
    """Read a regular file of limited size.

    Args:
        path: the file.
        limit: the most bytes that the file may have.

    Raises:
        UserError: the file is missing, is no regular file, such as a pipe, is too large, or grows
            while it is read.
    """
    with open_regular(path) as file:
        size = os.fstat(file.fileno()).st_size
        if size > limit:
            raise UserError(f'{path}: is larger than {limit:,} bytes, so it was not read')
        content = file.read(size + 1)  # not limit + 1, because Python allocates as much
    if len(content) > size:
        raise UserError(f'{path}: grows while it is read; try again when it is complete')
    return content


@contextlib.contextmanager
def open_regular(path: str | Path) -> Iterator[BinaryIO]:
    """Open a regular file to read from it, and name it in the errors of the system.

    Args:
        path: the file.

    Yields:
        the file, binary.

    Raises:
        UserError: the file is missing, is a folder, is no regular file, such as a pipe, or cannot
            be read.
    """
    with reading(path):
        status = os.stat(path)
        if not stat.S_ISREG(status.st_mode) and not stat.S_ISDIR(status.st_mode):
            raise UserError(f'{path}: is not a regular file')  # opening a pipe may take for ever
        with open(path, 'rb') as file:
            yield file


@contextlib.contextmanager
def reading(path: str | Path) -> Iterator[None]:
    """Name the file in the errors of the system.

    Raises:
        UserError: the file is missing, is a folder, or cannot be read.
    """
    try:
        yield
    except FileNotFoundError:
        raise UserError(f'{path}: no such file') from None
    except IsADirectoryError:
        raise UserError(f'{path}: is a folder; give the file in it') from None
    except OSError as error:
        raise UserError(f'{path}: cannot be read ({error.strerror})') from None


def make_out(folder: Path, flag: str = '--out') -> None:
    """Make the folder that a flag names with its parents, unless it exists.

    Raises:
        UserError: the folder cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f'{flag} {folder}: cannot be made ({error.strerror}); give a folder that '
                        'can be written to') from None


def write_json(path: str | Path, value: Any) -> None:
    """Write ``value`` as JSON, completely or not at all; paths become strings.

    Bytes of a path that are not UTF-8 are escaped, so a reader of the JSON gets the same path.

    Raises:
        UserError: the file cannot be written.
        ValueError: ``value`` holds nan or infinity, which JSON cannot express.
    """
    text = json.dumps(value, indent=2, allow_nan=False, ensure_ascii=False, default=str)
    with open_whole(path) as file:
        file.write(f'{text}\n'.encode(errors='backslashreplace'))


def read_json(path: Path, kind: type[T], limit: int = MAX_JSON) -> T:
    """Read a JSON file.

    Args:
        path: the file.
        kind: the type of its content, dict or list.
        limit: the most bytes that the file may have.

    Returns:
        The content; an empty one without such a file.

    Raises:
        UserError: the file cannot be read, is damaged, or has another content.
    """
    if not path.exists():
        return kind()
    text = read_whole(path, limit)
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UserError(f'{path}: is damaged ({error}); write it again, or remove it') from None
    if not isinstance(content, kind):
        raise UserError(f'{path}: holds no JSON {"object" if kind is dict else "list"}; write it '
                        'again, or remove it')
    return content


def save_npz(path: str | Path, target: Any) -> None:
    """Write a link, or a dict of arrays, as .npz, completely or not at all.

    Args:
        path: the .npz file to write.
        target: a ``chainer.Link``, or anything else that Chainer can serialize.

    Raises:
        UserError: the file cannot be written.
    """
    with open_whole(path) as file:
        # float32 weights hardly shrink, and compressing them takes seconds per snapshot.
        chainer_save_npz(file, target, compression=False)
