"""Worker processes that load training examples, whose errors and deaths are reported."""
import collections
import contextlib
import dataclasses
import multiprocessing
import multiprocessing.forkserver
import multiprocessing.pool
import multiprocessing.resource_tracker
import multiprocessing.util
import os
import pickle
import select
import signal
import struct
import time
from typing import Any

from multibox.data.ring import Ring
from multibox.errors import UserError
from multibox.processes import SIGNALS

import cv2

GRACE = 5  # seconds for a worker to finish its example at the end
# First example, its place, and number of examples. The size divides that of a page, so that a
# worker which reads from the pipe of all workers gets a whole task.
TASK = struct.Struct('<qii')
ANSWER = struct.Struct('<qq')  # place of an example, and number of bytes that follow
MOST_OUT = 512  # examples without an answer; their tasks fit into a pipe, also into macOS's 16 KiB


class Workers:
    """Processes that load examples of a sequence into a ring.

    All processes read their tasks from one pipe, and each answers through a pipe of its own. There
    is no lock that a dead process could hold, and the end of a process ends its pipe.

    Args:
        sequence: the examples; see :class:`multibox.data.TrainingSequence`.
        n: number of processes.
        ring: memory for the arrays of the examples; None sends examples of any form through the
            pipes.

    Attributes:
        end: function without arguments that ends the processes.

    Raises:
        OSError: a process cannot be started.
    """

    def __init__(self, sequence: Any, n: int, ring: Ring | None):
        # Not fork, because this process has threads and may hold a GPU or MPI.
        context = multiprocessing.get_context('forkserver')
        context.set_forkserver_preload(['multibox.data'])
        _start_servers()
        tasks, self._tasks = context.Pipe(duplex=False)
        self._workers: dict[int, _Worker] = {}  # by the descriptor of its pipe
        self._poll = select.poll()
        self._waiting: collections.deque = collections.deque()
        self._n_out = 0
        self.end = multiprocessing.util.Finalize(  # also at the end of this process
            self, _end, (self._tasks, self._workers), exitpriority=0)
        try:
            for _ in range(n):
                self._start(context, sequence, tasks, ring)
        except BaseException:
            self.end()
            raise
        finally:
            tasks.close()

    def _start(self, context, sequence, tasks, ring):
        answers, theirs = context.Pipe(duplex=False)
        with theirs:  # afterwards only the process holds it: its death ends the pipe
            process = context.Process(target=_work, args=(sequence, tasks, theirs, ring))
            process.start()
        self._workers[answers.fileno()] = _Worker(process, answers)
        self._poll.register(answers, select.POLLIN)

    @property
    def pids(self) -> list[int]:
        """The numbers of the processes."""
        return [worker.process.pid for worker in self._workers.values()]

    def submit(self, start: int, place: int, n: int) -> None:
        """Hand out consecutive examples, an equal part to each worker.

        Args:
            start: number of the first example in the sequence.
            place: its place in the ring; the next example has the next place.
            n: number of examples.

        Raises:
            UserError: no worker is alive.
        """
        size = -(-n // len(self._workers))  # few and long tasks wake this process less often
        for i in range(0, n, size or 1):
            self._waiting.append((start + i, place + i, min(size, n - i)))
        self._fill_pipe()

    def receive(self, seconds: float | None = None) -> list[tuple[int, Any]]:
        """Wait for examples that are loaded.

        Args:
            seconds: the longest time; None means no limit.

        Returns:
            Per example its place, and None, the example if there is no ring, or an exception. The
            list is empty at the end of the time, or if only a part of an example has come.

        Raises:
            UserError: a process died.
        """
        answers: list[tuple[int, Any]] = []
        for ready, _ in self._poll.poll(None if seconds is None else 1000 * seconds):
            data, worker = os.read(ready, 1 << 16), self._workers[ready]
            if not data:
                raise UserError(_cause_of_death([worker.process]))
            worker.unread += data
            while len(worker.unread) >= ANSWER.size:
                place, n_byte = ANSWER.unpack_from(worker.unread)
                end = ANSWER.size + n_byte
                if len(worker.unread) < end:
                    break
                value = pickle.loads(worker.unread[ANSWER.size:end]) if n_byte else None
                answers.append((place, value))
                del worker.unread[:end]
        self._n_out -= len(answers)
        self._fill_pipe()
        return answers

    def _fill_pipe(self):
        """Write tasks, but never so many that this process would have to wait for a worker."""
        tasks = b''
        while self._waiting and self._n_out < MOST_OUT:
            task = self._waiting.popleft()
            tasks += TASK.pack(*task)
            self._n_out += task[-1]
        if tasks:
            try:
                _write(self._tasks, tasks)
            except BrokenPipeError:
                raise UserError(_cause_of_death(
                    [worker.process for worker in self._workers.values()])) from None


@dataclasses.dataclass
class _Worker:
    process: Any
    answers: Any
    unread: bytearray = dataclasses.field(default_factory=bytearray)


def _cause_of_death(processes):
    for process in processes:
        process.join(GRACE)
    crashed = {-process.exitcode for process in processes if (process.exitcode or 0) < 0} - {
        signal.SIGKILL, signal.SIGTERM}
    if crashed:
        return (f'a loader process died by {signal.Signals(min(crashed)).name}: a library '
                'crashed, most often on a damaged image; python -m multibox.data check DIR '
                'decodes all images, and --loader-processes 1 loads one at a time')
    return ('a loader process died, most often for lack of memory; try fewer with '
            '--loader-processes')


def _end(tasks, workers):
    tasks.close()
    for worker in workers.values():
        worker.answers.close()  # it ends when it has loaded its example
    deadline = time.monotonic() + GRACE
    for worker in workers.values():
        worker.process.join(max(0, deadline - time.monotonic()))
        worker.process.kill()
        worker.process.join()


def _write(pipe, data):
    data = memoryview(data)
    while data:
        data = data[os.write(pipe.fileno(), data):]


def _start_servers():
    """Start the two helper processes of multiprocessing with the signals blocked.

    The helpers and the workers inherit this, so that only the main process handles the signals.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    multiprocessing.resource_tracker.ensure_running()  # unblocks two of the signals
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    multiprocessing.forkserver.ensure_running()
    signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _work(sequence, tasks, answers, ring):
    """Load examples until the main process ends or closes the pipes."""
    cv2.setNumThreads(0)  # the processes share the cores already
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    closed = select.poll()
    closed.register(answers, 0)  # tells only that nobody will read the answers
    while task := os.read(tasks.fileno(), TASK.size):
        t, place, n = TASK.unpack(task)
        loaded = []
        for i in range(n):
            loaded.append(_load(sequence, t + i, ring, place + i))
            if closed.poll(0):
                return
        with contextlib.suppress(BrokenPipeError):
            _write(answers, b''.join(loaded))


def _load(sequence, t, ring, place):
    """The answer: an example that is not in the ring, or an exception, is pickled."""
    try:
        example = load(sequence, t, ring, place)
        value = b'' if example is None else pickle.dumps(example, 5)
    except Exception as error:
        traced = multiprocessing.pool.ExceptionWithTraceback(error, error.__traceback__)
        try:
            value = pickle.dumps(traced)
            pickle.loads(value)  # some exceptions can be written, but not read
        except Exception:
            value = pickle.dumps(RuntimeError(f'in a loader process: {traced.tb}'))
    return ANSWER.pack(place, len(value)) + value


def load(sequence: Any, t: int, ring: Ring | None, place: int) -> Any:
    """Load example ``t`` into its place in the ring and return None; without a ring, return it."""
    if ring is None:
        return sequence[t]
    sequence.rows = ring.rows(place)
    return ring.write(place, sequence[t])
