"""A writer of the two formats of torch.save that needs no torch."""
import contextlib
import io
import pathlib
import pickle
import sys
import types
import typing
import zipfile
from unittest import mock

from multibox.weights.torch_files import MAGIC_NUMBER, VERSION

import numpy as np

KINDS = {'f8': 'DoubleStorage', 'f4': 'FloatStorage', 'f2': 'HalfStorage', 'i8': 'LongStorage',
         'i4': 'IntStorage', 'i2': 'ShortStorage', 'i1': 'CharStorage', 'u1': 'ByteStorage',
         'b1': 'BoolStorage', 'u2': 'BFloat16Storage', 'c8': 'ComplexFloatStorage'}


class View(typing.NamedTuple):
    """A tensor that views a storage.

    Attributes:
        storage: a 1-D array; views of one array share a storage. uint16 stands for bfloat16.
        offset, shape, strides: those of the tensor, in elements.
        function: the function of torch._utils that rebuilds the tensor.
        old_view: the first element and the length of a storage that views another one, as old
            versions of torch write it.
    """
    storage: np.ndarray
    offset: int
    shape: tuple
    strides: tuple
    function: str = '_rebuild_tensor_v2'
    old_view: tuple | None = None


class Parameter(typing.NamedTuple):
    """A torch.nn.Parameter with an array."""
    array: np.ndarray


class _Storage(typing.NamedTuple):
    view: View


def write(path, content, zipped=True):
    """Write the bytes of :func:`dump` into a file."""
    pathlib.Path(path).write_bytes(dump(content, zipped))


def dump(content, zipped=True):
    """Give the bytes that torch.save writes for an object whose arrays are tensors.

    Args:
        content: any object that can be pickled, with arrays, :class:`View` and :class:`Parameter`.
        zipped: whether the format is that of torch 1.6, or the one before.
    """
    with _torch() as torch:
        pickler, stream = _pickler(torch, zipped)
        pickler.dump(content)
    storages, file = pickler.storages, io.BytesIO()
    if zipped:
        with zipfile.ZipFile(file, 'w') as archive:
            archive.writestr('archive/data.pkl', stream.getvalue())
            archive.writestr('archive/byteorder', 'little')
            for key, array in enumerate(storages):
                archive.writestr(f'archive/data/{key}', array.tobytes())
        return file.getvalue()
    machine = {'protocol_version': VERSION, 'little_endian': True,
               'type_sizes': {'short': 2, 'int': 4, 'long': 4}}
    for value in MAGIC_NUMBER, VERSION, machine:
        pickle.dump(value, file, protocol=2)
    file.write(stream.getvalue())
    pickle.dump([str(key) for key in range(len(storages))], file, protocol=2)
    for array in storages:
        file.write(np.int64(array.size).tobytes() + array.tobytes())
    return file.getvalue()


@contextlib.contextmanager
def _torch():
    """Modules under the names that a pickle of torch.save refers to."""
    modules = {name: types.ModuleType(name) for name in ('torch', 'torch._utils')}
    modules['torch']._utils = modules['torch._utils']
    for kind in KINDS.values():
        setattr(modules['torch'], kind, type(kind, (), {'__module__': 'torch'}))
    for name in '_rebuild_tensor', '_rebuild_tensor_v2', '_rebuild_parameter':
        function = type(name, (), {'__module__': 'torch._utils'})
        setattr(modules['torch._utils'], name, function)
    with mock.patch.dict(sys.modules, modules):
        yield modules['torch']


def _pickler(torch, zipped):
    class Pickler(pickle.Pickler):
        def reducer_override(self, value):
            if isinstance(value, np.ndarray):
                array = np.ascontiguousarray(value).reshape(value.shape)
                strides = tuple(n // array.itemsize for n in array.strides)
                value = View(array.ravel(), 0, array.shape, strides)
            if isinstance(value, Parameter):
                return torch._utils._rebuild_parameter, (value.array, True, {})
            if isinstance(value, View):
                more = (False, {}) if value.function.endswith('v2') else ()
                return getattr(torch._utils, value.function), (
                    _Storage(value), value.offset, value.shape, value.strides, *more)
            return NotImplemented

        def persistent_id(self, value):
            if not isinstance(value, _Storage):
                return None
            view = value.view
            keys = [key for key, array in enumerate(self.storages) if array is view.storage]
            if not keys:
                self.storages.append(view.storage)
            key = keys[0] if keys else len(self.storages) - 1
            kind = getattr(torch, KINDS[view.storage.dtype.str[1:]])
            old = () if zipped else (view.old_view and (f'{key} view', *view.old_view),)
            return 'storage', kind, str(key), 'cpu', view.storage.size, *old

    stream = io.BytesIO()
    pickler = Pickler(stream, protocol=2)
    pickler.storages = []
    return pickler, stream
