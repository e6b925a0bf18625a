"""Files a crash cannot spoil: written whole, or not at all."""
import contextlib
import json
import os
from pathlib import Path

from multibox.errors import UserError

from chainer.serializers import save_npz as chainer_save_npz


@contextlib.contextmanager
def open_whole(path):
    """Open a file that appears under its name only when all of it is on the disk.

    Args:
        path: where the file is to be; what stood there before stays until the new one is whole.

    Yields:
        a binary file to write to.

    Raises:
        UserError: the file cannot be written (disk full, no permission).
    """
    path = Path(path)
    part = path.with_name(f'.{path.name}.part')
    try:
        with open(part, 'wb') as file:
            yield file
            file.flush()
            os.fsync(file.fileno())  # a rename may reach the disk before the data it names
        os.replace(part, path)
    except OSError as error:
        raise UserError(f'{path}: cannot be written ({error.strerror}); the file that was there '
                        'before, if any, is untouched') from error
    finally:
        part.unlink(missing_ok=True)


def make_out(folder):
    """Make the folder of ``--out`` with its parents, unless it is there.

    Raises:
        UserError: it cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f'--out {folder}: cannot be made ({error.strerror}); name a folder that '
                        'can') from None


def write_json(path, value):
    """Write ``value`` as JSON, whole or not at all; paths become strings.

    Bytes of a path that are no UTF-8 are escaped, and what reads JSON gets the same path.

    Raises:
        UserError: the file cannot be written.
        ValueError: ``value`` holds nan or infinity, which JSON cannot say.
    """
    text = json.dumps(value, indent=2, allow_nan=False, ensure_ascii=False, default=str)
    with open_whole(path) as file:
        file.write(f'{text}\n'.encode(errors='backslashreplace'))


def save_npz(path, target):
    """Write a link, or a dict of arrays, as .npz, whole or not at all.

    Raises:
        UserError: the file cannot be written.
    """
    with open_whole(path) as file:
        # float32 weights hardly shrink, and deflating them costs seconds at every snapshot
        chainer_save_npz(file, target, compression=False)
