"""Training batches in order from several worker processes, whose errors are raised."""
import time
from collections.abc import Sequence
from typing import Any

from multibox.data.loader_workers import Workers, load
from multibox.data.ring import Batch, Fields, Ring, shared_file
from multibox.data.sequence import TrainingSequence
from multibox.errors import UserError

import chainer
import cv2

BATCHES_AHEAD = 3  # batches that workers load beyond the one that is asked for
N_SLOT = BATCHES_AHEAD + 2  # that one, and the one before


class Loader(chainer.dataset.Iterator):
    """Read a :class:`TrainingSequence` batch by batch, each example once and in order.

    It differs from Chainer's ``MultiprocessIterator`` in four points: workers write their examples
    straight into the arrays of a batch, an error in a worker is raised, a dead worker is reported,
    and the position is the only state to save.

    Args:
        sequence: the examples of the whole run.
        batchsize: number of examples per batch, over all processes; a multiple of ``size``.
        n_processes: number of worker processes; with 0 this process loads the examples itself.
        rank: number of this process, from 0, among those that share a batch.
        size: number of processes that share a batch.
        fields: shape and dtype of each array of an example, such as
            :attr:`multibox.data.MakeTargets.fields`. Batches are then :class:`Batch`. Without it
            examples may have any form and batches are lists, but every example passes through a
            pipe, which takes this process about a millisecond per image of SSD300.

    Attributes:
        position: examples of the run that the batches so far had.
        ring: the memory of the batches, a :class:`multibox.data.ring.Ring`, from the first batch
            on; None without ``fields``.
        waited: seconds in which this process has waited for workers.
    """

    def __init__(self, sequence: TrainingSequence, batchsize: int, n_processes: int, rank: int = 0,
                 size: int = 1, fields: Fields | None = None):
        self.sequence, self.batchsize, self.n_processes = sequence, batchsize, n_processes
        self.rank, self.n_own, self.fields = rank, batchsize // size, fields
        self.position, self.waited = 0, 0.
        self.ring: Ring | None = None
        cv2.setNumThreads(0)  # with threads OpenCV rounds differently, by 1e-4
        self._workers: Workers | None = None
        self._turn = 0  # number of batches that were loaded
        self._missing: dict[int, int] = {}  # by slot: examples that workers have yet to load
        self._values: dict[int, Any] = {}  # by place: what came through a pipe
        self._latest: dict[int, Batch] = {}  # by slot
        self._next: Sequence | None = None
        self._error: Exception | None = None  # of a batch that was peeked at

    def __next__(self) -> Sequence:
        """The examples of this process in the next batch.

        Returns:
            :class:`Batch`, a sequence of examples with their stacked arrays. The arrays are valid
            until two more batches are asked for, because workers then write into their memory.
            Without ``fields``, a list that stays valid.

        Raises:
            StopIteration: the sequence is at its end.
            UserError: an example cannot be loaded, or a worker died.
            ValueError: an example does not have the ``fields``.
        """
        batch, self._next = self.peek(), None
        if batch is None:
            raise StopIteration
        self.position += self.batchsize
        return batch

    def peek(self, wait: bool = True) -> Sequence | None:
        """The batch that :meth:`__next__` will return, or None at the end; the position stays.

        Args:
            wait: with False, the result is also None while workers load the batch, and if it
                cannot be loaded. The next call that waits then raises the error.

        Raises:
            UserError, ValueError: as :meth:`__next__`.
        """
        if self._next is None and self.position + self.batchsize <= len(self.sequence):
            try:
                if self._error is None:
                    self._start()
                    self._next = self._load(wait)
                elif wait:
                    raise self._error
            except Exception as error:
                self.finalize()  # part of the batch is gone: the next call loads it again
                if wait:
                    raise
                self._error = error  # the batch before is not yet used
        return self._next

    @staticmethod
    def arrays(batch: Sequence, device: Any = None) -> tuple:
        """The arrays of a batch as they are: a converter of Chainer's updater for a CPU.

        A list of examples, from a loader without ``fields``, is stacked.
        """
        if isinstance(batch, Batch):
            return batch.arrays
        return chainer.dataset.concat_examples(batch)

    def _load(self, wait):
        slot = self._turn % N_SLOT
        if self._workers is None:
            start, place, n = self._task(0)
            values = [load(self.sequence, start + i, self.ring, place + i) for i in range(n)]
        else:
            for ahead in range(len(self._missing), BATCHES_AHEAD + 1):
                task = self._task(ahead)
                self._workers.submit(*task)
                self._missing[(self._turn + ahead) % N_SLOT] = task[-1]
            while self._missing[slot]:
                if not self._receive(wait) and not wait:
                    return None
            del self._missing[slot]
            values = [self._values.pop(slot * self.n_own + row, None) for row in range(self.n_own)]
        for value in values:
            if isinstance(value, Exception):
                raise value
        self._turn += 1
        if self.ring is None:
            return values
        self._latest[slot] = Batch(self.ring.slots[slot])
        return self._latest[slot]

    def _start(self):
        try:
            if self.ring is None and self.fields is not None:
                self.ring = Ring(self.fields, N_SLOT, self.n_own,
                                 shared_file() if self.n_processes else None)
            if self._workers is None and self.n_processes:
                self._workers = Workers(self.sequence, self.n_processes, self.ring)
        except OSError as error:  # no space, no permission or no further process
            raise UserError(f'the loader processes cannot be started ({error.strerror}); give '
                            '--loader-processes 0') from None

    def _task(self, ahead):
        """First example of a coming batch, its place in a slot that is free, number of examples."""
        start = self.position + ahead * self.batchsize
        slot = (self._turn + ahead) % N_SLOT
        if slot in self._latest and self._latest[slot].copied is not None:
            self._latest[slot].copied.synchronize()
        n = self.n_own if start + self.batchsize <= len(self.sequence) else 0
        return start + self.rank * self.n_own, slot * self.n_own, n

    def _receive(self, wait):
        """Take examples from the workers; whether there were any."""
        begin = time.perf_counter()
        answers = self._workers.receive(None if wait else 0)
        self.waited += (time.perf_counter() - begin) * wait
        for place, value in answers:
            self._missing[place // self.n_own] -= 1
            if value is not None:
                self._values[place] = value
        return bool(answers)

    def finalize(self) -> None:
        """End the worker processes. Batches stay valid as if there were still workers."""
        if self._workers is not None:
            self._workers.end()
            self._workers = None
        self._missing.clear()
        self._values.clear()
        self._next = self._error = None

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
