"""Copies of batches from the loader to the GPU, while the GPU computes on the batch before."""
from typing import Any

from multibox.typing import Array

import numpy as np
from chainer.backends import cuda


class Transfer:
    """A converter for Chainer's updater that sends the next batch to the GPU ahead of its use.

    Batches are laid out in page-locked memory, and a separate stream copies them. The next batch is
    only peeked at, so a snapshot holds the right position of the loader.

    Args:
        loader: the :class:`multibox.data.Loader` of the batches.
    """

    def __init__(self, loader: Any):
        self._loader = loader
        self._stream = cuda.Stream(non_blocking=True)
        self._batch: Any = None
        self._arrays: Any = None
        self._copied: Any = None
        self._pinned: Any = None

    def __call__(self, batch: list, device: Any = None) -> tuple[Array, ...]:
        """Stack the arrays of the examples of a batch on the current GPU.

        Args:
            batch: the latest batch of the loader, a list of tuples of arrays. The shapes are those
                of the first batch.
            device: not used; the updater passes it.

        Returns:
            tuple of CuPy arrays; later work on the current stream waits for their copy.
        """
        if batch is not self._batch:  # the first batch
            self._send(batch)
        arrays = self._arrays
        cuda.cupy.cuda.get_current_stream().wait_event(self._copied)
        following = self._loader.peek()
        if following is not None:
            self._send(following)
        return arrays

    def _send(self, batch):
        columns = list(zip(*batch))
        if self._pinned is None:
            import cupyx
            self._pinned = [cupyx.empty_pinned((len(column), *column[0].shape), column[0].dtype)
                            for column in columns]
        else:
            self._copied.synchronize()  # the last batch has left the memory that is written now
        for pinned, column in zip(self._pinned, columns):
            np.stack(column, out=pinned)
        self._arrays = tuple(cuda.cupy.empty(each.shape, each.dtype) for each in self._pinned)
        # The GPU may still compute on freed arrays whose memory the new arrays have.
        self._stream.wait_event(cuda.cupy.cuda.get_current_stream().record())
        for array, pinned in zip(self._arrays, self._pinned):
            array.set(pinned, self._stream)
        self._copied = self._stream.record()
        self._batch = batch
