"""CUDA graphs: work for the GPU that is recorded once and launched many times.

A graph repeats launches with the addresses and numbers of the recording. While recording, CuPy
refuses products of matrices and copies between host and GPU, and CUDA refuses calls that wait for
the GPU.
"""
import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import Any

from chainer.backends import cuda


class NotRepeatable(Exception):
    """Work that a graph cannot repeat was met while recording; the message says which."""


class Recorder:
    """A stream and a pool of memory for work that is going to be recorded, and for its graph.

    The pool serves nothing else. A launched graph therefore writes no memory of other arrays, and
    arrays that its work returned keep their addresses. The pool lives as long as the recorder.
    """

    def __init__(self) -> None:
        self._stream = cuda.cupy.cuda.Stream(non_blocking=True)  # CUDA records no default stream
        self._pool = cuda.cupy.cuda.MemoryPool()

    def run(self, work: Callable[[], Any]) -> None:
        """Do some work on the stream and from the pool of the recorder.

        Earlier work of the current stream is done before, and its later work afterwards.

        Args:
            work: function without arguments.
        """
        with self._own_stream_and_pool():
            work()

    def record(self, work: Callable[[], Any]) -> Callable[[], None]:
        """Record some work, which is not done yet.

        Args:
            work: function without arguments that :meth:`run` has called before, so that its kernels
                are compiled and its lasting arrays exist.

        Returns:
            Function without arguments that launches the graph on the current stream.

        Raises:
            NotRepeatable: the work draws random numbers.
            Exception: CUDA or CuPy cannot record the work, or the work fails.
        """
        stream = self._stream
        with self._own_stream_and_pool(), _without_random_numbers():
            stream.begin_capture()  # relaxed: the pool may ask CUDA for memory
            try:
                work()
            except BaseException:
                with contextlib.suppress(Exception):  # the first error is the one to tell
                    stream.end_capture()
                raise
            graph = stream.end_capture()
        return graph.launch

    @property
    def nbytes(self) -> int:
        """Bytes of memory that the pool holds."""
        return self._pool.total_bytes()

    def free(self) -> None:
        """Give the memory that no array uses back to CUDA."""
        self._pool.free_all_blocks()

    @contextlib.contextmanager
    def _own_stream_and_pool(self) -> Iterator[None]:
        current = cuda.cupy.cuda.get_current_stream()
        self._stream.wait_event(current.record())
        try:
            with self._stream, cuda.cupy.cuda.using_allocator(self._pool.malloc):
                yield
        finally:
            current.wait_event(self._stream.record())


@contextlib.contextmanager
def _without_random_numbers():
    """Refuse random numbers to this thread. A graph would repeat the same ones."""
    generator, thread = cuda.cupy.random._generator, threading.get_ident()
    draw = generator.get_random_state

    def refuse():
        if threading.get_ident() == thread:
            raise NotRepeatable('it draws random numbers')
        return draw()
    generator.get_random_state = refuse
    try:
        yield
    finally:
        generator.get_random_state = draw
