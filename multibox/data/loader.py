"""Training batches in order from several worker processes, whose errors are raised."""
import collections
import concurrent.futures
import concurrent.futures.process
import multiprocessing
import multiprocessing.forkserver
import multiprocessing.resource_tracker
import os
import pickle
import signal
import threading
from typing import Any

from multibox.data.sequence import TrainingSequence
from multibox.errors import UserError
from multibox.processes import SIGNALS

import chainer
import cv2

GRACE = 5  # seconds for a worker to finish its example at the end
PATIENCE = 5  # seconds between two checks that the workers are alive
BATCHES_AHEAD = 3  # batches kept ready, so that workers never wait for the main process


class Loader(chainer.dataset.Iterator):
    """Read a :class:`TrainingSequence` batch by batch, each example once and in order.

    It differs from Chainer's ``MultiprocessIterator`` in three points: an error in a worker is
    raised, a dead worker is reported, and the position is the only state to save.

    Args:
        sequence: the examples of the whole run.
        batchsize: number of examples per batch, over all processes; a multiple of ``size``.
        n_processes: number of worker processes; with 0 this process loads the examples itself.
        rank: number of this process, from 0, among those that share a batch.
        size: number of processes that share a batch.
        example_bytes: memory for the arrays of an example, which the workers share with this
            process. Larger arrays go through a pipe, which is several times slower.
    """

    def __init__(self, sequence: TrainingSequence, batchsize: int, n_processes: int, rank: int = 0,
                 size: int = 1, example_bytes: int = 0):
        self.sequence, self.batchsize, self.n_processes = sequence, batchsize, n_processes
        self.rank, self.n_own, self.example_bytes = rank, batchsize // size, example_bytes
        self.position = 0
        cv2.setNumThreads(0)  # with threads OpenCV rounds differently, by 1e-4
        self._pending: collections.deque = collections.deque()
        self._executor: Any = None
        self._next: list | None = None

    def __next__(self) -> list:
        """The examples of this process in the next batch.

        Raises:
            StopIteration: the sequence is at its end.
            UserError: an example cannot be loaded, or a worker died.
        """
        batch, self._next = self.peek(), None
        if batch is None:
            raise StopIteration
        self.position += self.batchsize
        return batch

    def peek(self) -> list | None:
        """The batch that :meth:`__next__` will return, or None at the end; the position stays."""
        if self._next is None and self.position + self.batchsize <= len(self.sequence):
            self._next = self._load()
        return self._next

    def _load(self):
        if self.n_processes == 0:
            return [self.sequence[t] for t in self._own(self.position)]
        try:
            self._submit()
            return [self._receive() for _ in range(self.n_own)]
        except OSError as error:  # no space or no permission for the memory that is shared
            raise UserError(f'the loader processes cannot be started ({error.strerror}); give '
                            '--loader-processes 0') from None
        except concurrent.futures.BrokenExecutor:
            raise UserError(self._cause_of_death()) from None
        except UserError:
            self.finalize()  # part of the batch is gone: the next call loads it again
            raise

    def _own(self, start):
        """The positions that this process loads of the batch that begins at ``start``."""
        start += self.rank * self.n_own
        return range(start, start + self.n_own)

    def _submit(self):
        if self._executor is None:
            # Not fork, because this process has threads and may hold a GPU or MPI.
            context = multiprocessing.get_context('forkserver')
            context.set_forkserver_preload(['multibox.data'])
            _start_servers()
            # The memory is a file without a name, so nothing remains if a process dies.
            shared = context.RawArray('B', max(1, self._n_ahead * self.example_bytes))
            self._shared = memoryview(shared).cast('B')
            self._executor = concurrent.futures.ProcessPoolExecutor(
                self.n_processes, context, _start_worker,
                (self.sequence, shared, self.example_bytes))
        begun = self.position + len(self._pending) // self.n_own * self.batchsize
        last = min(self.position + BATCHES_AHEAD * self.batchsize, len(self.sequence))
        for start in range(begun, last, self.batchsize):
            for i, t in enumerate(self._own(start), start // self.batchsize * self.n_own):
                offset = i % self._n_ahead * self.example_bytes
                self._pending.append((offset, self._executor.submit(_load, t, offset)))

    def _receive(self):
        offset, future = self._pending.popleft()
        pickled, sizes = self._wait_for(future)
        arrays = []
        for n_bytes in sizes:
            arrays.append(bytearray(self._shared[offset:offset + n_bytes]))
            offset += n_bytes
        return pickle.loads(pickled, buffers=arrays)

    def _wait_for(self, future):
        while True:
            try:
                return future.result(timeout=PATIENCE)
            except concurrent.futures.TimeoutError:
                workers = self._workers()
                if not all(worker.is_alive() for worker in workers):
                    # A worker killed while it writes a result leaves the pool waiting for the rest.
                    for worker in workers:
                        worker.kill()
                    self._executor._result_queue._writer.close()

    def _cause_of_death(self):
        workers = self._workers()
        self._executor._executor_manager_thread.join(GRACE)  # it reads the status of each worker
        crashed = {-worker.exitcode for worker in workers if (worker.exitcode or 0) < 0} - {
            signal.SIGKILL, signal.SIGTERM}
        if crashed:
            return (f'a loader process died by {signal.Signals(min(crashed)).name}: a library '
                    'crashed, most often on a damaged image; python -m multibox.data check DIR '
                    'decodes all images, and --loader-processes 1 loads one at a time')
        return ('a loader process died, most often for lack of memory; try fewer with '
                '--loader-processes')

    def _workers(self):
        return list((self._executor._processes or {}).values())

    @property
    def _n_ahead(self):
        return BATCHES_AHEAD * self.n_own

    def finalize(self) -> None:
        """End the worker processes."""
        if self._executor is not None:
            workers = self._workers()
            self._executor.shutdown(wait=False, cancel_futures=True)
            for worker in workers:
                worker.join(GRACE)
                worker.kill()  # it may wait for the lock of a dead worker
                worker.join()
            self._executor = self._shared = None
        self._pending.clear()
        self._next = None

    def serialize(self, serializer: chainer.AbstractSerializer) -> None:
        """Save or restore the position; examples loaded ahead are dropped."""
        position = int(serializer('position', self.position))
        if position != self.position:
            self.position = position
            self.finalize()

    @property
    def epoch_detail(self) -> float:
        """Passes over the data set so far."""
        return self.position / len(self.sequence.dataset)

    @property
    def epoch(self) -> int:
        """Complete passes over the data set so far."""
        return int(self.epoch_detail)

    @property
    def previous_epoch_detail(self) -> float:
        """:attr:`epoch_detail` before the last batch."""
        return max(0, self.position - self.batchsize) / len(self.sequence.dataset)

    @property
    def is_new_epoch(self) -> bool:
        """Whether the last batch completed a pass."""
        return int(self.previous_epoch_detail) < self.epoch


def _start_servers():
    """Start the two helper processes of multiprocessing with the signals blocked.

    The helpers and the workers inherit this, so that only the main process handles the signals.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    multiprocessing.resource_tracker.ensure_running()  # unblocks two of the signals
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    multiprocessing.forkserver.ensure_running()
    signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _start_worker(sequence, shared, example_bytes):
    global _sequence, _shared, _example_bytes
    _sequence, _shared, _example_bytes = sequence, memoryview(shared).cast('B'), example_bytes
    cv2.setNumThreads(0)  # the processes share the cores already
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    threads = [_exit_with_parent, _exit_at_order]
    if not hasattr(signal, 'sigwaitinfo'):  # macOS hides the sender, and the pool's must work
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
        threads.remove(_exit_at_order)
    for wait in threads:
        threading.Thread(
            target=wait, args=(multiprocessing.parent_process(),), daemon=True).start()


def _exit_with_parent(parent):
    parent.join()
    os._exit(1)


def _exit_at_order(parent):
    # The pool ends a worker by SIGTERM. A SIGTERM of another sender is meant for the whole job.
    while signal.sigwaitinfo({signal.SIGTERM}).si_pid != parent.pid:
        pass
    os._exit(1)


def _load(t, offset):
    """Pickle example ``t`` without its arrays, which go into shared memory if they fit."""
    example, arrays = _sequence[t], []
    pickled = pickle.dumps(example, 5, buffer_callback=lambda array: arrays.append(array.raw()))
    sizes = [array.nbytes for array in arrays]
    if sum(sizes) > _example_bytes:
        return pickle.dumps(example, 5), []
    for array in arrays:
        _shared[offset:offset + array.nbytes] = array
        offset += array.nbytes
    return pickled, sizes
