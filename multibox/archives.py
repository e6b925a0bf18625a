"""Read .npz archives within bounds: the memory follows the size of the file, not its claims.

``numpy.load`` allocates the memory that the headers of an archive ask for. This reader compares
the directory of the archive and each header with the file first, and unpickles nothing.
"""
import math
import os
import pathlib
import zipfile

from multibox.errors import UserError
from multibox.files import open_regular
from multibox.kinds import N_BYTE, kind

import numpy as np

MAX_BYTES = 2 ** 32  # of all arrays; a snapshot of an SSD512 with Adam has 0.4 GB
# A compressed archive may hold more than its size: the zeros of a new momentum shrink to nothing.
FREE_BYTES, MAX_RATIO = 2 ** 26, 20
MAX_MEMBERS = 10_000  # a snapshot of lite300 has about 900
MAX_NAME = 500  # letters
MAX_HEADER = 1000  # bytes of the header of an array; NumPy writes 118
MAX_DIMENSIONS = 32
MAX_LETTER = 0x10ffff  # of Unicode; NumPy keeps any number, and Python may crash at a larger one
MAX_READ = 2 ** 20  # bytes per read, and so of the directory of the archive


def read_arrays(path: str | pathlib.Path) -> dict[str, np.ndarray]:
    """Read all arrays of an .npz file.

    Args:
        path: the file.

    Returns:
        {name: array} of floats, integers and bool, and of single strings; in C order and in the
        byte order of this machine. The arrays share no memory.

    Raises:
        UserError: there is no such file, it is damaged, or it holds anything else.
    """
    begin = b''
    try:
        with open_regular(path) as file:
            begin = file.read(N_BYTE)
            with zipfile.ZipFile(_Bounded(file)) as archive:
                _check(archive.infolist(), os.fstat(file.fileno()).st_size)
                return {info.filename.removesuffix('.npy'): _read(archive, info)
                        for info in archive.infolist()}
    except UserError:
        raise
    except zipfile.BadZipFile as error:
        reason = kind(begin) or str(error)
    except Exception as error:  # bytes at random raise errors of many types
        reason = (str(error) or type(error).__name__).splitlines()[0]
    raise UserError(f'{path}: not a readable .npz file ({reason}); give another copy of it')


class _Bounded:
    """A file that gives at most :data:`MAX_READ` bytes at once: ``zipfile`` trusts all sizes."""

    def __init__(self, file):
        self.seek, self.tell, self.seekable, self._file = file.seek, file.tell, file.seekable, file

    def read(self, size=-1):
        if size > MAX_READ:
            raise ValueError('its directory is too large')
        return self._file.read(MAX_READ if size < 0 else size)


def _check(members, size):
    """Raise ValueError unless the directory of an archive is plausible for ``size`` bytes."""
    names = {info.filename for info in members}
    n_byte = sum(info.file_size for info in members)
    if len(members) > MAX_MEMBERS:
        raise ValueError(f'it has {len(members):,} members')
    if len(names) < len(members):
        raise ValueError('it names a member twice')
    if sum(info.compress_size for info in members) > size:
        raise ValueError('its members overlap, or it is cut off')
    if n_byte > min(MAX_BYTES, FREE_BYTES + MAX_RATIO * size):
        raise ValueError(f'its {size:,} bytes would expand to {n_byte:,}')
    for info in members:
        name = info.filename
        if len(name) > MAX_NAME or not name.isprintable() or '..' in name:
            raise ValueError('the name of a member is no name of an array')
        if not name.endswith('.npy'):
            raise ValueError(f'{name} is no array of numbers')
        if info.flag_bits & 1:
            raise ValueError(f'{name} is encrypted')
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise ValueError(f'{name} is compressed in another way than by NumPy')


def _read(archive, info):
    with archive.open(info) as file:
        if np.lib.format.read_magic(file) != (1, 0):  # the others are for structured arrays
            raise ValueError(f'{info.filename} is no array of numbers')
        shape, is_fortran, dtype = np.lib.format.read_array_header_1_0(file, MAX_HEADER)
        is_number = dtype.kind in 'fiub' and dtype.itemsize <= 8
        if not is_number and (dtype.kind != 'U' or shape):
            raise ValueError(f'{info.filename} is no array of numbers')
        n_byte = math.prod(shape) * dtype.itemsize
        left = info.file_size - file.tell()
        if n_byte != left or min(shape, default=0) < 0 or len(shape) > MAX_DIMENSIONS:
            raise ValueError(f'{info.filename} has {left} bytes, and its shape is {shape}')
        content = bytearray(n_byte)
        for start in range(0, n_byte, MAX_READ):
            part = file.read(min(MAX_READ, n_byte - start))
            content[start:start + len(part)] = part
            if len(part) < min(MAX_READ, n_byte - start):
                raise ValueError(f'{info.filename} is cut off')
    array = np.ndarray(shape, dtype, content, order='F' if is_fortran else 'C')
    array = array.astype(dtype.newbyteorder('='), order='C', copy=False)
    if dtype.kind == 'U' and (
            np.frombuffer(array.tobytes(), np.uint32) > MAX_LETTER).any():
        raise ValueError(f'{info.filename} is no text')
    return array
