"""Buffers for batches, in memory that worker processes share."""
import math
import mmap
import os
import tempfile
import weakref
from collections.abc import Sequence
from multiprocessing.reduction import DupFd
from typing import Any

import numpy as np

Fields = Sequence[tuple[tuple[int, ...], Any]]  # shape and dtype of each array of an example


class Batch(Sequence):
    """A batch whose arrays are stacked already; as a sequence, its examples.

    Args:
        arrays: arrays (B, ...) of any dtype, one row per example. Example ``i`` is the tuple of
            their rows ``i``, without a copy.

    Attributes:
        arrays: the same, a tuple.
        copied: None, or an object with a method ``synchronize``, such as a CUDA event. The loader
            calls it before it writes another batch into the memory of this one.
    """

    def __init__(self, arrays: Sequence[np.ndarray]):
        self.arrays = tuple(arrays)
        self.copied: Any = None

    def __len__(self) -> int:
        return len(self.arrays[0])

    def __getitem__(self, i: Any) -> Any:
        if isinstance(i, slice):
            return [self[n] for n in range(*i.indices(len(self)))]
        return tuple(array[i] for array in self.arrays)


class Ring:
    """Slots for batches in one block of memory; a slot holds one batch.

    Worker processes get the same memory when they are started with the ring as an argument.

    Args:
        fields: shape and dtype of each array of an example.
        n_slot: number of batches.
        n_row: examples per batch.
        file: a descriptor of the file that holds the memory; it is closed when the ring is
            deleted. None takes memory of this process alone, and the ring cannot be given to a
            worker then.

    Attributes:
        fields: the fields, with dtypes of NumPy.
        slots: per slot a tuple of arrays with ``n_row`` rows.
        memory: (n,) uint8 array, all slots; it begins and ends with a page.

    Raises:
        OSError: there is not enough memory, or the file cannot grow.
    """

    def __init__(self, fields: Fields, n_slot: int, n_row: int, file: int | None = None):
        self.fields = [(tuple(shape), np.dtype(dtype)) for shape, dtype in fields]
        self.n_slot, self.n_row, self._file = n_slot, n_row, file
        if file is not None:
            weakref.finalize(self, os.close, file)
        starts, size = [], 0
        for shape, dtype in self.fields * n_slot:
            starts.append(size)
            size += _whole_pages(n_row * math.prod(shape) * dtype.itemsize)
        size = max(size, mmap.PAGESIZE)
        if file is not None and os.fstat(file).st_size != size:
            os.ftruncate(file, size)
        pages = mmap.mmap(-1 if file is None else file, size)
        self.memory = np.frombuffer(pages, np.uint8)
        arrays: list[np.ndarray] = [
            np.ndarray((n_row, *shape), dtype, pages, start)
            for (shape, dtype), start in zip(self.fields * n_slot, starts)]
        n = len(self.fields)
        self.slots = [tuple(arrays[i:i + n]) for i in range(0, len(arrays), n)]

    def __reduce__(self):  # for a worker process, while it is being started
        return _attach, (self.fields, self.n_slot, self.n_row, DupFd(self._file))

    def rows(self, place: int) -> tuple[np.ndarray, ...]:
        """The memory of the arrays of one example.

        Args:
            place: as for :meth:`write`.

        Returns:
            The rows, with the shapes and dtypes of ``fields``, without a copy.
        """
        slot, row = divmod(place, self.n_row)
        return tuple(array[row, ...] for array in self.slots[slot])

    def write(self, place: int, example: Sequence[np.ndarray]) -> None:
        """Copy the arrays of an example into their rows, unless they are these rows already.

        Args:
            place: number of the example's row, counted through all slots.
            example: the arrays.

        Raises:
            ValueError: their number, a shape or a dtype is not that of the fields.
        """
        example = [np.asanyarray(array) for array in example]
        forms = [(array.shape, array.dtype) for array in example]
        if forms != self.fields:
            raise ValueError(f'the arrays of an example are {_text(forms)}, not '
                             f'{_text(self.fields)} as the loader was told')
        for array, row in zip(example, self.rows(place)):
            if (array.ctypes.data, array.strides) != (row.ctypes.data, row.strides):
                row[...] = array


def shared_file() -> int:
    """Open an empty file without a name: in memory on Linux, else among the temporary files.

    The system removes it when the last process that has it open ends.

    Returns:
        Its descriptor.

    Raises:
        OSError: no file can be opened.
    """
    if hasattr(os, 'memfd_create'):  # Linux; not /dev/shm, which containers keep small
        return os.memfd_create('multibox')
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())


def _attach(fields, n_slot, n_row, file):
    return Ring(fields, n_slot, n_row, file.detach())


def _whole_pages(size):
    return -(-size // mmap.PAGESIZE) * mmap.PAGESIZE


def _text(forms):
    return ', '.join(f'{shape} {dtype}' for shape, dtype in forms)
