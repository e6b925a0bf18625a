"""NumPy work in several threads; NumPy lets other threads run while it computes."""
import contextlib
import contextvars
import os
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from multibox.devices import available_cores

PER_THREAD = 2 ** 18  # elements that are worth the start of one more thread
_END = object()


def in_threads(work: Callable[[Any], Any], parts: Iterable, n_element: int) -> None:
    """Call ``work(part)`` for each part, in this thread and in further ones.

    Each thread takes the next part when it has finished one. The result of a part must not depend
    on other parts, so that the number of threads changes no bit. The further threads end with the
    call, because threads do not survive a fork. ``numpy.errstate`` holds in all threads.

    Args:
        work: function that computes a part.
        parts: the parts; they are made one after another.
        n_element: the number of elements in all parts, which decides on the number of threads.

    Raises:
        Exception: the error of a part; the remaining parts are not computed.
    """
    iterator, lock = iter(parts), threading.Lock()

    def take_parts():
        nonlocal iterator
        try:
            while (part := take()) is not _END:
                work(part)
        except BaseException:
            iterator = iter(())
            raise

    def take():
        with lock:
            return next(iterator, _END)

    n_more = min(_n_thread(), n_element // PER_THREAD) - 1
    if n_more < 1:
        return take_parts()
    others = []
    with ThreadPoolExecutor(n_more) as executor:
        with contextlib.suppress(RuntimeError):  # no more threads, or the interpreter is ending
            for _ in range(n_more):
                others.append(executor.submit(contextvars.copy_context().run, take_parts))
        take_parts()
    for other in others:
        other.result()


def _n_thread():
    """The cores of this process, or fewer by the variables that limit the threads of libraries."""
    limits = (os.environ.get(name, '').partition(',')[0]
              for name in ('OMP_NUM_THREADS', 'OPENBLAS_NUM_THREADS'))
    return min([available_cores(), *(int(limit) for limit in limits if limit.isdecimal())])
