"""NumPy work in several threads; NumPy lets other threads run while it computes."""
import functools
import os
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from multibox.devices import available_cores

PER_THREAD = 2 ** 18  # elements that are worth the start of one more thread
_END = object()


def in_threads(work: Callable[[Any], Any], parts: Iterable, n_element: int) -> None:
    """Call ``work(part)`` for each part, in this thread and in others that take the next parts.

    The parts must not depend on the number of threads, so that a result has the same bits with any
    number. Threads end with the call, because a child process would wait for them in vain.

    Args:
        work: function that computes a part.
        parts: the parts; they are made one after another.
        n_element: the number of elements in all parts, which decides on the number of threads.

    Raises:
        Exception: the error of a part; other parts may not have been computed.
    """
    iterator, lock = iter(parts), threading.Lock()

    def take_parts():
        while (part := take()) is not _END:
            work(part)

    def take():
        with lock:
            return next(iterator, _END)

    n_more = min(_n_thread(), n_element // PER_THREAD) - 1
    if n_more < 1:
        return take_parts()
    with ThreadPoolExecutor(n_more) as executor:
        others = [executor.submit(take_parts) for _ in range(n_more)]
        take_parts()
    for other in others:
        other.result()


@functools.cache
def _n_thread():
    """The cores of this process, or fewer by the variables that limit the threads of libraries."""
    limits = (os.environ.get(name, '') for name in ('OMP_NUM_THREADS', 'OPENBLAS_NUM_THREADS'))
    return min([available_cores(), *(int(limit) for limit in limits if limit.isdecimal())]) or 1
