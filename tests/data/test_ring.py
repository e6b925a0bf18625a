"""Batches in a ring of memory that worker processes write into."""
import subprocess
import sys
import time

from multibox.data import Loader, TrainingSequence, ring
from multibox.data.loader import BATCHES_AHEAD
from multibox.errors import UserError

import chainer
import numpy as np
import pytest

FIELDS = [((2, 3), 'f'), ((0, 4), 'f'), ((), 'i')]


class Numbers:
    """Examples that consist of their number."""

    def __len__(self):
        return 1000

    def __getitem__(self, i):
        return np.full((2, 3), i, 'f'), np.zeros((0, 4), 'f'), np.array(i, 'i'), None


def keep(*example):
    return example


class Told:
    """Appends the numbers of the examples to a file."""

    def __init__(self, path):
        self.path = path

    def __call__(self, *example):
        with open(self.path, 'a') as file:
            file.write(f'{example[2]}\n')
        return example


def wait_for(condition):
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end
        time.sleep(.01)


@pytest.fixture
def load():
    loaders = []

    def make(n_processes, transform=keep, n=80, batchsize=4, fields=FIELDS):
        sequence = TrainingSequence(Numbers(), transform, 0, n)
        loaders.append(Loader(sequence, batchsize, n_processes, fields=fields))
        return loaders[-1]
    yield make
    for loader in loaders:
        loader.finalize()


def numbers(loader, position):
    """The numbers of the batch before a position."""
    return [loader.sequence.source(t)[1] for t in range(position - 4, position)]


@pytest.mark.parametrize('n_processes', [0, 2])
def test_a_batch_is_a_sequence_of_examples_and_holds_their_stacked_arrays(load, n_processes):
    loader = load(n_processes)
    for batch in loader:
        assert len(batch) == 4 and len(list(batch)) == 4 and len(batch[1:3]) == 2
        for array, (shape, dtype), stacked in zip(
                batch.arrays, FIELDS, chainer.dataset.concat_examples(batch)):
            assert array.shape == (4, *shape) and array.dtype == dtype
            np.testing.assert_array_equal(array, stacked)
        assert batch.arrays[2].tolist() == numbers(loader, loader.position)


@pytest.mark.parametrize('n_processes', [0, 1])
def test_the_arrays_are_in_the_ring_and_nobody_copies_them(load, n_processes):
    loader = load(n_processes)
    batch = next(loader)
    assert all(np.shares_memory(array, loader.ring.memory) for array in (batch[3][0], *batch.arrays)
               if array.size)
    assert loader.arrays(batch) is batch.arrays


def test_a_batch_is_valid_until_two_more_are_asked_for(load, tmp_path):
    told = tmp_path / 'told'
    loader = load(2, Told(told))
    kept = []
    for batch in loader:
        kept = [*kept, batch][-2:]
        ahead = min(loader.position + 4 * BATCHES_AHEAD, 80)
        wait_for(lambda ahead=ahead: len(told.read_text().split()) == ahead)
        for n, each in enumerate(reversed(kept)):
            assert each.arrays[2].tolist() == numbers(loader, loader.position - 4 * n)


def test_workers_fill_the_ring_while_the_main_process_does_something_else(load, tmp_path):
    told = tmp_path / 'told'
    next(load(2, Told(told)))
    wait_for(lambda: len(told.read_text().split()) == 4 * (1 + BATCHES_AHEAD))


class Event:
    """A copy of a batch that is late: it reads the memory when somebody waits for it."""

    def __init__(self, batch):
        self.batch, self.copy = batch, None

    def synchronize(self):
        if self.copy is None:
            self.copy = self.batch.arrays[2].tolist()


@pytest.mark.parametrize('n_processes', [0, 2])
def test_memory_is_written_again_only_when_its_copy_is_done(load, n_processes):
    loader, events = load(n_processes), []
    for batch in loader:
        batch.copied = Event(batch)
        events.append((loader.position, batch.copied))
    waited_for = [event for event in events if event[1].copy is not None]
    assert len(waited_for) >= 15
    for position, event in waited_for:
        assert event.copy == numbers(loader, position)


def test_a_dropped_batch_that_is_still_copied_keeps_its_memory(load):
    loader = load(1)
    ahead = loader.peek()
    ahead.copied = Event(ahead)
    loader.finalize()
    again = loader.peek()
    assert again is not ahead and not np.shares_memory(again.arrays[2], ahead.arrays[2])


@pytest.mark.parametrize('n_processes', [0, 1])
@pytest.mark.parametrize('fields', [[((2, 1), 'f'), *FIELDS[1:]], [*FIELDS[:2], ((), 'f')],
                                    FIELDS[:2]], ids=['shape', 'dtype', 'number'])
def test_examples_of_another_form_are_refused(load, n_processes, fields):
    with pytest.raises(ValueError, match=r'\(2, 3\) float32, \(0, 4\) float32, \(\) int32, not'):
        next(load(n_processes, fields=fields))


def test_a_batch_that_workers_still_load_is_not_waited_for(load):
    loader = load(1)
    assert loader.peek(wait=False) is None and loader.position == loader.waited == 0
    wait_for(lambda: loader.peek(wait=False) is not None)
    ahead = loader.peek()
    assert next(loader) is ahead and loader.position == 4 and loader.waited < .1


def slow(*example):
    time.sleep(.1)
    return example


def test_the_time_of_waiting_for_workers_is_counted(load):
    loader = load(1, slow, n=4)
    begin = time.perf_counter()
    loader.peek()
    assert .3 < loader.waited < time.perf_counter() - begin
    assert loader.peek() is not None and loader.waited < time.perf_counter() - begin


def large(*example):
    return np.zeros(2000),


def test_more_examples_than_a_pipe_has_room_for(load):
    loader = load(1, large, n=3000, batchsize=1500, fields=None)
    assert [len(batch) for batch in loader] == [1500, 1500]


def broken(*example):
    return 1 / 0


def test_an_error_tells_where_it_was_raised(load):
    with pytest.raises(ZeroDivisionError) as caught:
        next(load(1, broken))
    assert 'in broken' in str(caught.value.__cause__)


def unpicklable(*example):
    raise UserError(lambda: None)


def test_an_error_that_cannot_be_pickled_arrives_as_text(load):
    with pytest.raises(RuntimeError, match='in unpicklable'):
        next(load(1, unpicklable))


@pytest.mark.slow
def test_a_program_that_forgets_its_loader_ends():
    program = ('from multibox.data import Loader, TrainingSequence\n'
               'from tests.data.test_ring import FIELDS, Numbers, keep\n'
               'if __name__ == "__main__":\n'
               '    sequence = TrainingSequence(Numbers(), keep, 0, 80)\n'
               '    loader = Loader(sequence, 4, 2, fields=FIELDS)\n'
               '    next(loader)\n')
    result = subprocess.run([sys.executable, '-c', program], timeout=60, capture_output=True)
    assert result.returncode == 0 and result.stderr == b''


@pytest.mark.skipif(not hasattr(ring.os, 'memfd_create'), reason='no files in memory')
def test_without_files_in_memory_a_file_without_a_name_is_shared(load, monkeypatch):
    monkeypatch.delattr(ring.os, 'memfd_create')
    loader = load(1)
    assert next(loader).arrays[2].tolist() == numbers(loader, 4)


def slower(*example):
    time.sleep(.5)
    return example


def test_workers_end_after_the_example_that_they_load(load):
    loader = load(2, slower, batchsize=40)
    loader.peek(wait=False)
    begin = time.monotonic()
    loader.finalize()
    assert time.monotonic() - begin < 4  # not after their parts of all batches


def test_a_row_that_is_read_in_another_order_is_copied():
    slots = ring.Ring([((4,), 'q')], 1, 1)
    row, = slots.rows(0)
    row[...] = range(4)
    slots.write(0, (row[::-1],))
    assert row.tolist() == [3, 2, 1, 0]
