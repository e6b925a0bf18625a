"""CUDA graphs: work for the GPU that is recorded once and launched many times.

A graph repeats launches with the addresses and numbers of the recording. A copy from the memory of
the host would be repeated, too, but that memory has other contents by then.
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
            Exception: CUDA or CuPy cannot record the work; in particular :class:`NotRepeatable`.
        """
        stream = self._stream
        with self._own_stream_and_pool(), _only_repeatable():
            stream.begin_capture()  # relaxed: the pool may ask CUDA for memory
            try:
                work()
            except BaseException:
                with contextlib.suppress(Exception):  # the first error is the one to tell
                    stream.end_capture()
                raise
            graph = stream.end_capture()
        return graph.launch

    def free(self) -> None:
        """Give back the memory that no array has."""
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
def _only_repeatable():
    """Refuse copies from the host and random numbers to this thread."""
    cupy, thread = cuda.cupy, threading.get_ident()
    allocate = cupy.get_default_pinned_memory_pool().malloc  # cupy.array copies through its memory
    random, own_set = cupy.random._generator, vars(cupy.ndarray).get('set')

    def refuse(function, what):
        def refused(*args, **kwargs):
            if threading.get_ident() == thread:
                raise NotRepeatable(f'the step {what}')
            return function(*args, **kwargs)
        return refused

    copies = 'copies an array from the host'
    draw = random.get_random_state
    try:
        random.get_random_state = refuse(draw, 'draws random numbers')
        cupy.ndarray.set = refuse(cupy.ndarray.set, copies)
        cupy.cuda.set_pinned_memory_allocator(refuse(allocate, copies))
        yield
    finally:
        cupy.cuda.set_pinned_memory_allocator(allocate)
        random.get_random_state = draw
        if own_set is None:
            del cupy.ndarray.set  # inherited
        else:
            cupy.ndarray.set = own_set
