"""Archives that are unpacked into one folder and nowhere else."""
import contextlib
import lzma
import os
import shutil
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import BinaryIO, NamedTuple

from experiments.fetch import check_room
from multibox.errors import UserError

from tqdm import tqdm


class Member(NamedTuple):
    """A regular file of an archive: its path, its size in bytes and a function that opens it."""
    name: str
    size: int
    open: Callable[[], BinaryIO]


def unpack(archive: Path, folder: Path, top: str = '') -> None:
    """Unpack a .tar or .zip, or the rest of one that an earlier call has begun.

    Files appear under their names only when they are complete. A file that exists already stays; a
    note names the first one of another size.

    Args:
        archive: the file.
        folder: the folder to unpack into.
        top: a folder of the archive, whose content is unpacked in its place.

    Raises:
        UserError: the archive is damaged, has links, devices or paths out of the folder, or needs
            more room than the disk has; or the folder cannot be written.
    """
    part = folder / f'.{archive.name}.member'
    try:
        with _members(archive) as members:
            targets = {_target(archive, folder, member.name, top): member for member in members}
            todo = {path: member for path, member in targets.items() if not path.is_file()}
            others = [path for path, member in targets.items()
                      if path not in todo and path.stat().st_size != member.size]
            if others:
                print(f'{others[0]}: is another file than in {archive.name}, and stays'
                      + f'; so do {len(others) - 1:,} others' * (len(others) > 1), flush=True)
            check_room(folder, sum(member.size for member in todo.values()),
                       f'the files of {archive.name}')
            for path, member in tqdm(todo.items(), desc=f'Unpacking {archive.name}', unit='file',
                                     delay=2, leave=False, disable=None):
                path.parent.mkdir(parents=True, exist_ok=True)
                part.unlink(missing_ok=True)
                with member.open() as source, open(part, 'xb') as file:
                    shutil.copyfileobj(source, file)
                if part.stat().st_size != member.size:
                    raise EOFError(f'{member.name} is not complete')
                os.replace(part, path)
    except UserError:
        raise
    except (tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError,
            RuntimeError, ValueError) as error:
        raise UserError(f'{archive}: is damaged ({error}); remove it, and the same command '
                        'downloads it again') from None
    except OSError as error:
        raise UserError(f'{folder}: {archive.name} cannot be unpacked ({error}); make room or give '
                        'another folder') from None
    finally:
        with contextlib.suppress(OSError):  # the first error is the one to report
            part.unlink(missing_ok=True)


@contextlib.contextmanager
def _members(path) -> Iterator[list[Member]]:
    with open(path, 'rb') as file:
        is_zip = file.read(2) == b'PK'
    if is_zip:
        with zipfile.ZipFile(path) as archive:
            for info in archive.infolist():
                if info.external_attr >> 16 & 0o170000 not in (0, 0o100000, 0o040000):
                    _refuse(path, info.filename, 'is a link or a device')
            yield [Member(info.orig_filename, info.file_size, lambda info=info: archive.open(info))
                   for info in archive.infolist() if not info.is_dir()]
    else:
        with tarfile.open(path, 'r:') as archive:  # without compression, which would hide its size
            for info in archive.getmembers():
                if not (info.isreg() or info.isdir()):
                    _refuse(path, info.name, 'is a link or a device')
            yield [Member(info.name, info.size, lambda info=info: archive.extractfile(info))
                   for info in archive.getmembers() if info.isreg()]


def _target(archive, folder, name, top):
    """The path of a member, which is inside the folder."""
    parts = PurePosixPath(name).parts
    if not parts or name.startswith('/') or '..' in parts or set(name) & set('\\:\0'):
        _refuse(archive, name, 'leads out of the folder')
    if parts[0] == top:
        parts = parts[1:]
    return folder.joinpath(*parts)


def _refuse(archive, name, fault):
    raise UserError(f'{archive}: was not unpacked, because {name!r} {fault}; get the archive from '
                    'another server with --mirror URL')
