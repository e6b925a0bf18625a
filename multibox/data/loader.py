"""Training batches from several processes, in order, with errors that arrive."""
import collections
import concurrent.futures
import multiprocessing
import multiprocessing.forkserver
import multiprocessing.resource_tracker
import os
import pickle
import signal
import threading

from multibox.errors import UserError

import chainer
import cv2

# What ends a run; its loader processes leave it to the main one. The last is for mpiexec, which
# forwards it to all: getting one of the others itself, it kills at once.
SIGNALS = signal.SIGTERM, signal.SIGINT, signal.SIGUSR1
GRACE = 5  # seconds for a worker to end what it loads
BATCHES_AHEAD = 3  # kept ready; the workers never wait for the main process to fetch one


class Loader(chainer.dataset.Iterator):
    """Read a :class:`TrainingSequence` batch by batch, each example once, in its order.

    Unlike Chainer's ``MultiprocessIterator`` an error in a worker is raised here instead of being
    waited for, a dead worker is reported, and the only state to save is the position.

    Args:
        sequence: the examples of the whole run.
        batchsize: number of examples in a batch, over all processes; a multiple of ``size``.
        n_processes: worker processes; 0 loads in this one.
        rank, size: this process's place among those that share a batch, and their number.
        example_bytes: memory for the arrays of an example, which is then shared with the workers;
            arrays that need more go through a pipe, several times slower.
    """

    def __init__(self, sequence, batchsize, n_processes, rank=0, size=1, example_bytes=0):
        self.sequence, self.batchsize, self.n_processes = sequence, batchsize, n_processes
        self.rank, self.n_own, self.example_bytes = rank, batchsize // size, example_bytes
        self.position = 0
        cv2.setNumThreads(0)  # in every process: by threads it rounds otherwise, 1e-4 of a level
        self._pending, self._executor = collections.deque(), None
        self._next = None

    def __next__(self):
        """List of this process's examples of the next batch.

        Raises:
            StopIteration: the sequence is at its end.
            UserError: an example cannot be loaded, or a worker died.
        """
        batch, self._next = self.peek(), None
        if batch is None:
            raise StopIteration
        self.position += self.batchsize
        return batch

    def peek(self):
        """What :meth:`__next__` will return, or None at the end; the position stays."""
        if self._next is None and self.position + self.batchsize <= len(self.sequence):
            self._next = self._load()
        return self._next

    def _load(self):
        if self.n_processes == 0:
            return [self.sequence[t] for t in self._own(self.position)]
        try:
            self._submit()
            return [self._receive() for _ in range(self.n_own)]
        except concurrent.futures.process.BrokenProcessPool:
            raise UserError('a loader process died, most often for lack of memory; try fewer '
                            'with --loader-processes') from None
        except UserError:
            self.finalize()  # part of the batch is gone: begin it anew if asked again
            raise

    def _own(self, start):
        """Positions of this process's share of the batch that begins at ``start``."""
        start += self.rank * self.n_own
        return range(start, start + self.n_own)

    def _submit(self):
        if self._executor is None:
            # Not fork: the parent has threads, and may hold a GPU or MPI.
            context = multiprocessing.get_context('forkserver')
            context.set_forkserver_preload(['multibox.data'])
            _start_servers()
            # In a file without a name, so that nothing is left of it whichever process dies.
            shared = context.RawArray('B', max(1, self._n_ahead * self.example_bytes))
            self._shared = memoryview(shared).cast('B')
            self._executor = concurrent.futures.ProcessPoolExecutor(
                self.n_processes, context, _start_worker,
                (self.sequence, shared, self.example_bytes))
        begun = self.position + len(self._pending) // self.n_own * self.batchsize
        last = min(self.position + BATCHES_AHEAD * self.batchsize, len(self.sequence))
        for start in range(begun, last, self.batchsize):
            for i, t in enumerate(self._own(start), start // self.batchsize * self.n_own):
                place = i % self._n_ahead * self.example_bytes
                self._pending.append((place, self._executor.submit(_load, t, place)))

    def _receive(self):
        place, future = self._pending.popleft()
        pickled, sizes = future.result()
        arrays = []
        for n_bytes in sizes:
            arrays.append(bytearray(self._shared[place:place + n_bytes]))
            place += n_bytes
        return pickle.loads(pickled, buffers=arrays)

    @property
    def _n_ahead(self):
        return BATCHES_AHEAD * self.n_own

    def finalize(self):
        """End the worker processes."""
        if self._executor is not None:
            workers = list((self._executor._processes or {}).values())
            self._executor.shutdown(wait=False, cancel_futures=True)
            for worker in workers:
                worker.join(GRACE)
                worker.kill()  # one that waits for a lock which a dead one held has not heard
                worker.join()
            self._executor = self._shared = None
        self._pending.clear()
        self._next = None

    def serialize(self, serializer):
        """Save or restore the position; what was loaded ahead is dropped."""
        position = int(serializer('position', self.position))
        if position != self.position:
            self.position = position
            self.finalize()

    @property
    def epoch_detail(self):
        """Passes over the data set so far, as a float."""
        return self.position / len(self.sequence.dataset)

    @property
    def epoch(self):
        """Complete passes over the data set so far."""
        return int(self.epoch_detail)

    @property
    def previous_epoch_detail(self):
        """:attr:`epoch_detail` before the last batch."""
        return max(0, self.position - self.batchsize) / len(self.sequence.dataset)

    @property
    def is_new_epoch(self):
        """Whether the last batch completed a pass."""
        return int(self.previous_epoch_detail) < self.epoch


def _start_servers():
    """Start multiprocessing's two helpers deaf to the signals: what is blocked is inherited."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    multiprocessing.resource_tracker.ensure_running()  # unblocks two of them
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    multiprocessing.forkserver.ensure_running()
    signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _start_worker(sequence, shared, example_bytes):
    global _sequence, _shared, _example_bytes
    _sequence, _shared, _example_bytes = sequence, memoryview(shared).cast('B'), example_bytes
    cv2.setNumThreads(0)  # the processes share the cores already
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)  # the main process's to handle
    threads = [_wait_for_death, _wait_for_order]
    if not hasattr(signal, 'sigwaitinfo'):  # macOS cannot tell who sent it: the pool's has to work
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
        threads.remove(_wait_for_order)
    for wait in threads:
        threading.Thread(
            target=wait, args=(multiprocessing.parent_process(),), daemon=True).start()


def _wait_for_death(parent):
    parent.join()
    os._exit(1)


def _wait_for_order(parent):
    # The pool ends a worker by SIGTERM; one from elsewhere went to the whole job.
    while signal.sigwaitinfo({signal.SIGTERM}).si_pid != parent.pid:
        pass
    os._exit(1)


def _load(t, place):
    """Example ``t``, pickled but for its arrays; these go into shared memory if they fit."""
    example, arrays = _sequence[t], []
    pickled = pickle.dumps(example, 5, buffer_callback=lambda array: arrays.append(array.raw()))
    sizes = [array.nbytes for array in arrays]
    if sum(sizes) > _example_bytes:
        return pickle.dumps(example, 5), []
    for array in arrays:
        _shared[place:place + array.nbytes] = array
        place += array.nbytes
    return pickled, sizes
