"""The two formats of ``torch.save``, read without torch.

A file is a zip archive with the pickle ``data.pkl`` and the storages ``data/KEY``. Before torch 1.6
it was a row of pickles, followed by the storages. The pickles are a magic number, the version of
the format, a dict about the machine, the object, and the keys of the storages. A storage begins
with its number of elements as int64.
"""
import contextlib
import io
import math
import mmap
import pathlib
import struct
import zipfile
from collections.abc import Callable
from typing import Any

from multibox.errors import UserError
from multibox.files import open_regular
from multibox.kinds import N_BYTE, kind
from multibox.weights import pickles

import numpy as np

MAGIC_NUMBER = 0x1950a86a20f9469cfc6c
VERSION = 1001
# The elements of a storage by its class; those of bfloat16 are only bits.
TYPES = {'DoubleStorage': '<f8', 'FloatStorage': '<f4', 'HalfStorage': '<f2',
         'BFloat16Storage': '<u2', 'LongStorage': '<i8', 'IntStorage': '<i4', 'ShortStorage': '<i2',
         'CharStorage': 'i1', 'ByteStorage': 'u1', 'BoolStorage': 'u1'}
NEXT = 'download it again, or write it with torch.save(model.state_dict(), FILE)'


class Malformed(Exception):
    """A fault of a file, in words that hold nothing of its content."""


def read(path: str | pathlib.Path,
         choose: Callable[[Any], dict[str, pickles.Tensor]]) -> dict[str, np.ndarray]:
    """Read tensors of a file of ``torch.save``.

    No more memory is allocated than a small multiple of the size of the file.

    Args:
        path: the file.
        choose: a function from the object in the file, see :func:`multibox.weights.pickles.load`,
            to the tensors wanted. Only their storages are read.

    Returns:
        {name: array} of float32, or of integers; arrays share no memory.

    Raises:
        UserError: there is no such file, it is malformed, or ``choose`` raises the error.
    """
    try:
        with open_regular(path) as file, _mapped(file) as content:
            if known := kind(content[:N_BYTE]):
                raise Malformed(known)
            if content[:2] == b'PK':
                with zipfile.ZipFile(file) as archive:
                    saved, read_storage = _open_archive(archive, len(content))
                    return _arrays(choose(saved), read_storage, len(content))
            saved, read_storage = _open_row(content)
            return _arrays(choose(saved), read_storage, len(content))
    except UserError:
        raise
    except Malformed as error:
        reason = str(error)
    except Exception:  # bytes at random raise errors of many types
        reason = 'it is damaged, or it was not written by torch.save'
    raise UserError(f'{path}: not a file of weights alone, so it was not loaded ({reason}); {NEXT}')


@contextlib.contextmanager
def _mapped(file):
    """The file as memory that reads no further than the file, whatever size is asked for."""
    try:
        content = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except ValueError:
        raise Malformed('it is empty') from None
    with content:
        yield content


def _open_archive(archive, size):
    """The object in a zip archive, and a function from a storage to its bytes."""
    names = archive.namelist()
    pickle = [name for name in names if name.rpartition('/')[2] == 'data.pkl']
    if len(pickle) != 1:
        raise Malformed('it is a zip archive of something else')
    folder = pickle[0].removesuffix('data.pkl')
    if f'{folder}constants.pkl' in names:
        raise Malformed('it is a TorchScript program; torch.jit.load(FILE) gives its model')
    left = size

    def extract(name):
        nonlocal left
        info = archive.getinfo(name)
        left -= info.file_size
        # Entries that overlap or are compressed could hold more than the file.
        if left < 0 or info.compress_type != zipfile.ZIP_STORED or (
                info.file_size != info.compress_size):
            raise Malformed('its entries overlap or are compressed')
        return archive.read(info)

    if f'{folder}byteorder' in names and extract(f'{folder}byteorder') != b'little':
        raise Malformed('it was written on a big-endian machine')
    saved = pickles.load(io.BytesIO(extract(pickle[0])))
    return saved, lambda storage: extract(f'{folder}data/{storage.key}')


def _open_row(content):
    """The object in a row of pickles, and a function from a storage to its bytes."""
    if pickles.load(content) != MAGIC_NUMBER:
        raise Malformed('it is a pickle that was not written by torch.save')
    if pickles.load(content) != VERSION:
        raise Malformed('it has an unknown version')
    pickles.load(content)
    kinds, places = {}, {}
    saved = pickles.load(content, kinds)
    for key in pickles.load(content):
        n_byte = struct.unpack('<q', content.read(8))[0] * _type(kinds[key]).itemsize
        places[key] = slice(content.tell(), content.tell() + n_byte)
        if not 0 <= n_byte <= len(content) - content.tell():
            raise Malformed('it is cut off')
        content.seek(n_byte, io.SEEK_CUR)
    return saved, lambda storage: content[places[storage.key]]


def _arrays(tensors, read_storage, size):
    # Tensors may overlap in their storage and have strides of 0.
    if sum(math.prod(tensor.shape) for tensor in tensors.values()) > size:
        raise Malformed('its tensors are larger than the file')
    storages, arrays = {}, {}
    for name, tensor in tensors.items():
        key = tensor.storage.key
        if key not in storages:
            storages[key] = read_storage(tensor.storage)
        arrays[name] = _array(tensor, storages[key])
    return arrays


def _array(tensor, content):
    dtype = _type(tensor.storage.kind)
    if 0 in tensor.shape:
        return np.zeros(tensor.shape, np.float32)
    first = tensor.storage.start + tensor.offset
    last = first + sum((n - 1) * stride for n, stride in zip(tensor.shape, tensor.strides))
    if last >= len(content) // dtype.itemsize:
        raise Malformed('a tensor reaches beyond its storage')
    array = np.ndarray(tensor.shape, dtype, content, first * dtype.itemsize,
                       [stride * dtype.itemsize for stride in tensor.strides])
    return to_float32(array, tensor.storage.kind == 'BFloat16Storage')


def _type(kind):
    if kind not in TYPES:
        raise Malformed('a tensor has elements other than real numbers')
    return np.dtype(TYPES[kind])


def to_float32(array: np.ndarray, is_bfloat16: bool = False) -> np.ndarray:
    """Copy an array; floats become float32, and other numbers keep their type.

    Integers are no weights of a network, so :mod:`multibox.weights.values` refuses them by their
    type.

    Args:
        array: numbers of any type.
        is_bfloat16: whether the numbers are uint16 with the bits of a bfloat16, which are the upper
            half of those of a float32.
    """
    if is_bfloat16:
        array = np.left_shift(array, 16, dtype=np.uint32).view(np.float32)
    if array.dtype.kind != 'f':
        return np.array(array)
    with np.errstate(over='ignore', invalid='ignore'):
        return np.array(array, np.float32)
