"""Copies of batches from the loader to the GPU, while the GPU computes on the batch before."""
import warnings
import weakref
from typing import Any

from multibox.data.ring import Batch
from multibox.typing import Array

from chainer.backends import cuda


class Transfer:
    """A converter for Chainer's updater that sends the next batch to the GPU ahead of its use.

    The memory of the loader's batches is page-locked, and a stream of its own copies them straight
    from there: the host copies nothing. The next batch is sent ahead if the workers have finished
    it. It is only peeked at, so a snapshot holds the right position of the loader.

    Args:
        loader: the :class:`multibox.data.Loader` of the batches. It knows the ``fields`` of an
            example.

    Raises:
        ValueError: the loader does not know them.
    """

    def __init__(self, loader: Any):
        if loader.fields is None:
            raise ValueError('Transfer needs a Loader with fields, such as MakeTargets.fields')
        self._loader = loader
        self._stream = cuda.Stream(non_blocking=True)
        self._batch: Batch | None = None
        self._arrays: Any = None

    def __call__(self, batch: Batch, device: Any = None) -> tuple[Array, ...]:
        """Copy the arrays of a batch to the current GPU.

        Args:
            batch: the latest batch of the loader.
            device: not used; the updater passes it.

        Returns:
            tuple of CuPy arrays; later work on the current stream waits for their copy.

        Warns:
            UserWarning: once, if the memory cannot be page-locked. Copies then hold up the host.
        """
        if batch is not self._batch:  # the first batch, or one that was late
            self._send(batch)
        arrays = self._arrays
        cuda.cupy.cuda.get_current_stream().wait_event(batch.copied)
        following = self._loader.peek(wait=False)
        if following is not None:
            self._send(following)
        return arrays

    def _send(self, batch):
        if self._batch is None:
            _lock_pages(self._loader.ring, self._stream)
        self._arrays = tuple(cuda.cupy.empty(each.shape, each.dtype) for each in batch.arrays)
        # The GPU may still compute on freed arrays whose memory the new arrays have.
        self._stream.wait_event(cuda.cupy.cuda.get_current_stream().record())
        for array, source in zip(self._arrays, batch.arrays):
            array.set(source, self._stream)
        # The loader keeps the memory until then, and waits without using a core.
        batch.copied = self._stream.record(cuda.cupy.cuda.Event(block=True, disable_timing=True))
        self._batch = batch


def _lock_pages(ring, stream):
    """Page-lock the memory of a ring until the ring is deleted."""
    runtime, address = cuda.cupy.cuda.runtime, ring.memory.ctypes.data
    try:
        runtime.hostRegister(address, ring.memory.nbytes, 0)
    except runtime.CUDARuntimeError as error:
        warnings.warn(f"the memory of the loader's batches cannot be page-locked ({error}); "
                      'training goes on, but the host waits for every copy to the GPU',
                      stacklevel=4)
        return

    def unlock():
        stream.synchronize()
        runtime.hostUnregister(address)
    weakref.finalize(ring, unlock).atexit = False  # the end of the process frees it anyway
