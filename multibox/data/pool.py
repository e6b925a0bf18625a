"""Processes that decode images for this one: a file on which a decoder crashes harms no other."""
import atexit
import collections
import functools
import itertools
import multiprocessing.spawn
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, wait
from multiprocessing.connection import Pipe
from pathlib import Path
from typing import Any

from multibox.data.pictures import MAX_PIXELS, Refused, Unreadable
from multibox.devices import available_cores
from multibox.errors import UserError
from multibox.processes import SIGNALS

MAX_WORKERS = 4  # each may hold an image of the largest size
FEW = 8  # tasks that wait per process, beyond which another process is worth its start
LONG = .1  # seconds for a result, beyond which it is, too
SECONDS = 60  # for one file
FOLDER = Path(__file__).resolve().parent
PACKAGES = {'multibox': str(FOLDER.parent), 'multibox.data': str(FOLDER)}
ONE_THREAD = dict.fromkeys(('OPENBLAS_NUM_THREADS', 'OMP_NUM_THREADS', 'MKL_NUM_THREADS'), '1')


class Worker:
    """A process that calls functions; see :mod:`multibox.data.worker`.

    Args:
        seconds: the time for one call.

    Raises:
        UserError: the process does not start.
    """

    def __init__(self, seconds: int = SECONDS):
        self.seconds = seconds
        self.connection, theirs = Pipe()
        try:
            with theirs:
                self.process = subprocess.Popen(
                    [multiprocessing.spawn.get_executable(), FOLDER / 'worker.py',
                     str(theirs.fileno())], pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL, env={**os.environ, **ONE_THREAD})
            self.connection.send((sys.path, PACKAGES, 2 * seconds))
            self.connection.recv()
        except (OSError, EOFError) as error:
            raise UserError('a process that decodes images cannot be started '
                            f'({error or "it ended at once"}); the system may limit the number of '
                            'processes or the memory') from None

    def call(self, function: Callable, arguments: tuple, max_pixels: int) -> Any:
        """Call ``function(*arguments, max_pixels=max_pixels)`` in the process.

        Raises:
            Refused: the process died, was out of time or out of memory. Only in the last case can
                it be called again.
        """
        try:
            self.connection.send((function, arguments, max_pixels))
            for _ in range(self.seconds):  # a program that was stopped counts from there on
                if self.connection.poll(1):
                    returned, value = self.connection.recv()
                    break
            else:
                self.end()
                raise Refused(f'image is not decoded after {self.seconds} seconds')
        except (EOFError, OSError):
            raise Refused(_cause_of_death(self.end())) from None
        if returned:
            return value
        raise Refused('image needs more memory than is allowed') if isinstance(
            value, MemoryError) else value

    def end(self) -> int:
        """End the process; its status, which is negative if it died by another signal before."""
        self.connection.close()
        try:
            return self.process.wait(timeout=1)  # it may be dying
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()

    @property
    def is_alive(self) -> bool:
        """Whether the process can be called."""
        return not self.connection.closed


def _cause_of_death(status):
    if status == -signal.SIGKILL:
        return ('image cannot be decoded (the process that decoded it was killed by SIGKILL, most '
                'often for lack of memory)')
    how = signal.Signals(-status).name if status < 0 else f'status {status}'
    return f'image cannot be decoded (the decoder crashed on it, {how})'


class Pool:
    """Worker processes, started when there is work for them.

    Args:
        n_worker: the largest number of processes.
        seconds: the time for one call.
    """

    def __init__(self, n_worker: int, seconds: int = SECONDS):
        self.n_worker, self.seconds, self.pid = n_worker, seconds, os.getpid()
        self.workers: dict[int, Worker] = {}
        self.is_closed = False
        self._tasks: queue.SimpleQueue = queue.SimpleQueue()
        self._threads: list[threading.Thread] = []

    def submit(self, function: Callable, arguments: tuple, max_pixels: int) -> Future:
        """Call a function in a worker process; arguments and errors as :meth:`Worker.call`."""
        future: Future = Future()
        self._tasks.put((future, function, arguments, max_pixels))
        if self._tasks.qsize() > FEW * len(self._threads):
            self._grow()
        return future

    def result(self, future: Future) -> Any:
        """The result of a call, with one process more if it takes long and other calls wait."""
        if not wait([future], timeout=LONG).done and self._tasks.qsize():
            self._grow()
        return future.result()

    def _grow(self):
        n = len(self._threads)
        if n < self.n_worker:
            self._threads.append(threading.Thread(target=self._work, args=(n,), daemon=True))
            self._threads[-1].start()

    def _work(self, number):
        signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)  # the process inherits this
        while not self.is_closed:
            worker: Any = self.workers.get(number)
            if worker is None or not worker.is_alive:  # before a task that another one could do
                try:
                    worker = self.workers[number] = Worker(self.seconds)
                except BaseException as error:  # for the caller, who waits
                    worker = error
            future, *call = self._tasks.get()
            if future.set_running_or_notify_cancel():
                try:
                    if isinstance(worker, BaseException):
                        raise worker
                    future.set_result(worker.call(*call))
                except BaseException as error:
                    future.set_exception(error)
            del future, call  # they hold the result

    def close(self) -> None:
        """End all processes."""
        self.is_closed = True
        for worker in list(self.workers.values()):  # threads may still start one
            worker.process.kill()
            worker.process.wait()


@functools.cache
def _pool_of(pid):
    pool = Pool(min(MAX_WORKERS, available_cores()))
    atexit.register(pool.close)
    return pool


def map_files(function: Callable, items: Iterable[tuple], max_pixels: int = MAX_PIXELS,
              n_ahead: int = 64) -> Iterator[Any]:
    """Call a function per item in the worker processes of this process, and keep the order.

    Args:
        function: a function that pickle finds by its name, in a module that imports no Chainer.
        items: the arguments of each call, the first of which is the path of a file. Each call also
            gets ``max_pixels``.
        max_pixels: the largest number of pixels of an image; the memory of a process follows it.
        n_ahead: number of calls that begin before their result is asked for.

    Yields:
        Per item the result, or the :class:`multibox.data.pictures.Unreadable` that was raised.

    Raises:
        UserError: no process can be started.
    """
    pool = _pool_of(os.getpid())  # a forked process has none of the threads
    pending: collections.deque = collections.deque()
    try:
        for path, *others in items:  # this process may have changed its folder
            pending.append(pool.submit(function, (path.absolute(), *others), max_pixels))
            if len(pending) > n_ahead:
                yield _outcome(pool, pending.popleft())
        while pending:
            yield _outcome(pool, pending.popleft())
    finally:
        for future in pending:
            future.cancel()


def map_batches(function: Callable, items: list[tuple], batchsize: int,
                max_pixels: int = MAX_PIXELS, overlap: bool = False) -> Iterator[list]:
    """Call a function per item as :func:`map_files` does, and collect the results in lists.

    Args:
        function, items, max_pixels: as for :func:`map_files`.
        batchsize: results per list; the last list may be shorter.
        overlap: whether the next list is worked on while the caller uses one. Keep it False where
            the caller itself uses all cores.

    Yields:
        Lists of results.
    """
    if overlap:
        outcomes = map_files(function, items, max_pixels, batchsize)
        while batch := list(itertools.islice(outcomes, batchsize)):
            yield batch
    for start in range(0, 0 if overlap else len(items), batchsize):
        yield list(map_files(function, items[start:start + batchsize], max_pixels))


def _outcome(pool, future):
    try:
        return pool.result(future)
    except Unreadable as error:
        return error
