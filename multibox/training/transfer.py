"""From the loader to the GPU, while the GPU computes on the batch before."""
import numpy as np
from chainer.backends import cuda


class Transfer:
    """A converter for Chainer's updater: the batch on the GPU, the next one on its way there.

    Batches are laid out in page-locked memory, from where a stream of its own copies them. The
    loader is only looked ahead in, so what a snapshot holds of it stays true.

    Args:
        loader: the :class:`multibox.data.Loader` that the batches come from.
    """

    def __init__(self, loader):
        self._loader = loader
        self._stream = cuda.Stream(non_blocking=True)
        self._batch = self._arrays = self._copied = self._pinned = None

    def __call__(self, batch, device=None):
        """The arrays of a batch, those of its examples stacked, on the current GPU.

        Args:
            batch: list of tuples of arrays, the loader's latest; all have the shapes of the first.
            device: not used, the updater gives it.

        Returns:
            tuple of CuPy arrays; what the current stream does from now on waits for their copy.
        """
        if batch is not self._batch:  # the first one
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
            self._copied.synchronize()  # or it would be overwritten on its way
        for pinned, column in zip(self._pinned, columns):
            np.stack(column, out=pinned)
        self._arrays = tuple(cuda.cupy.empty(each.shape, each.dtype) for each in self._pinned)
        # Their memory may have been that of arrays the GPU still computes on.
        self._stream.wait_event(cuda.cupy.cuda.get_current_stream().record())
        for array, pinned in zip(self._arrays, self._pinned):
            array.set(pinned, self._stream)
        self._copied = self._stream.record()
        self._batch = batch
