"""Batches reach the GPU whole and in order, although they are copied while it computes."""
import gc
import time
import types

from multibox.data import Loader, TrainingSequence
from multibox.training import Transfer, transfer

import numpy as np
import pytest
from chainer.serializers import DictionarySerializer, NpzDeserializer


class Images:
    def __len__(self):
        return 7

    def __getitem__(self, i):
        return np.full((3, 5), i, 'f'), np.zeros((0, 4), 'f'), np.full(2, i, 'i'), None


def identity(img, bbox, label):
    return img, bbox, label


FIELDS = [((3, 5), 'f'), ((0, 4), 'f'), ((2,), 'i')]
LENGTH = 40  # ten batches, so that every slot of the ring is used twice


@pytest.fixture(params=[0, 1], ids='{} processes'.format)
def loader(request):
    loader = Loader(TrainingSequence(Images(), identity, 3, LENGTH), 4, request.param,
                    fields=FIELDS)
    yield loader
    loader.finalize()


def test_peeking_leaves_the_loader_where_it_is(loader):
    next(loader)
    saved, ahead = DictionarySerializer(), loader.peek()
    loader.serialize(saved)
    assert loader.position == saved.target['position'] == 4 and loader.peek() is ahead
    assert next(loader) is ahead
    imgs = ahead.arrays[0].copy()  # two more batches are asked for
    assert loader.peek() is not None
    loader.serialize(NpzDeserializer(saved.target))  # the batch that was peeked at is dropped
    for img, again in zip(imgs, next(loader)):
        np.testing.assert_array_equal(img, again[0])
    for _ in range(8, LENGTH, 4):
        next(loader)
    assert loader.peek() is None


class Event:
    def __init__(self, block=False, disable_timing=False):
        self.blocks = block

    def synchronize(self):
        while self.stream.n_done < self.n_before:
            self.stream.n_done += 1
            self.stream.work[self.stream.n_done - 1]()


class Stream:
    """A stream that works as late as possible: when the host or another stream waits for it."""

    def __init__(self, non_blocking=False):
        self.non_blocking, self.work, self.n_done, self.waits_for = non_blocking, [], 0, []

    def record(self, event=None):
        event = event or Event()
        event.stream, event.n_before = self, len(self.work)
        return event

    def synchronize(self):
        self.record().synchronize()

    def wait_event(self, event):
        self.work.append(event.synchronize)
        self.waits_for.append(event.stream)


class Array(np.ndarray):
    def set(self, source, stream):
        assert stream.waits_for[-1] is CURRENT  # earlier arrays of that stream were in this memory
        stream.work.append(lambda: np.copyto(self, source))


CURRENT = Stream()


class CUDARuntimeError(RuntimeError):
    pass


class Runtime:
    """CUDA's runtime, which locks pages or refuses to."""

    CUDARuntimeError = CUDARuntimeError

    def __init__(self):
        self.refuses, self.locked = False, []

    def hostRegister(self, address, size, flags):
        if self.refuses:
            raise CUDARuntimeError('cudaErrorNotSupported: operation not supported')
        self.locked.append((address, size))
        assert flags == 0

    def hostUnregister(self, address):
        self.locked = [each for each in self.locked if each[0] != address]


@pytest.fixture
def late_gpu(monkeypatch):
    """Replace CuPy by copies that read their source as late as possible."""
    def empty(shape, dtype):
        return np.full(shape, -1, dtype).view(Array)
    cupy = types.SimpleNamespace(empty=empty, cuda=types.SimpleNamespace(
        get_current_stream=lambda: CURRENT, runtime=Runtime(), Event=Event))
    monkeypatch.setattr(transfer, 'cuda', types.SimpleNamespace(cupy=cupy, Stream=Stream))
    return cupy.cuda.runtime


def batches(loader, sending):
    """Send every batch, then finish the stream. Returns each batch with the loader's position."""
    received = [(sending(batch), loader.position) for batch in loader]
    CURRENT.record().synchronize()
    return received


def assert_stacked(received, loader):
    assert [position for _, position in received] == [*range(4, LENGTH + 1, 4)]
    for arrays, position in received:
        examples = [loader.sequence[t] for t in range(position - 4, position)]
        for array, column in zip(arrays, zip(*examples)):
            np.testing.assert_array_equal(array, np.stack(column))
            assert array.dtype == column[0].dtype


def test_a_copy_that_is_late_is_waited_for(loader, late_gpu):
    sending = Transfer(loader)
    assert_stacked(batches(loader, sending), loader)
    assert len(sending._stream.waits_for) == LENGTH // 4  # every batch is sent once


def test_the_next_batch_is_on_its_way_before_it_is_asked_for(loader, late_gpu):
    sending = Transfer(loader)
    first = next(loader)
    ahead = loader.peek()  # the workers have finished it
    sending(first)
    imgs, *_ = sending._arrays
    CURRENT.record().synchronize()  # does not wait for the copy
    assert loader.position == 4 and (imgs == -1).all()
    assert ahead.copied.blocks  # a host that waits leaves its core to the workers
    ahead.copied.synchronize()
    np.testing.assert_array_equal(imgs, [loader.sequence[t][0] for t in range(4, 8)])


def test_a_batch_that_workers_still_load_holds_up_no_other(late_gpu):
    loader = Loader(TrainingSequence(Images(), slow, 3, 8), 4, 1, fields=FIELDS)
    sending, batch = Transfer(loader), next(loader)
    waited = loader.waited
    sending(batch)
    assert sending._batch is batch and loader.waited == waited
    sending(next(loader))
    assert len(sending._stream.waits_for) == 2
    loader.finalize()


def slow(*example):
    time.sleep(.1)
    return example


def test_a_batch_that_was_not_peeked_at_is_sent(loader, late_gpu):
    saved, sending = DictionarySerializer(), Transfer(loader)
    loader.serialize(saved)
    sending(next(loader))
    loader.serialize(NpzDeserializer(saved.target))
    assert_stacked(batches(loader, sending), loader)


def test_the_stream_of_copies_does_not_wait_for_the_gpus_work(loader, late_gpu):
    assert Transfer(loader)._stream.non_blocking


def test_the_pages_of_all_batches_are_locked_once_and_freed_with_the_loader(late_gpu):
    loader = Loader(TrainingSequence(Images(), identity, 3, LENGTH), 4, 0, fields=FIELDS)
    batches(loader, Transfer(loader))
    assert late_gpu.locked == [(loader.ring.memory.ctypes.data, loader.ring.memory.nbytes)]
    loader.finalize()  # the copies may go on
    assert late_gpu.locked
    del loader
    gc.collect()
    assert not late_gpu.locked


def test_memory_that_cannot_be_locked_is_named_once(loader, late_gpu):
    late_gpu.refuses = True
    with pytest.warns(UserWarning, match=r'cannot be page-locked \(cudaErrorNotSupp') as told:
        assert_stacked(batches(loader, Transfer(loader)), loader)
    assert len(told) == 1


def test_a_loader_of_examples_of_any_form_is_refused(late_gpu):
    loader = Loader(TrainingSequence(Images(), identity, 3, 8), 4, 0)
    with pytest.raises(ValueError, match=r'a Loader with fields, such as MakeTargets\.fields'):
        Transfer(loader)


@pytest.mark.gpu
def test_batches_arrive_on_a_gpu(loader, gpu):
    sending, received = Transfer(loader), []
    busy = gpu.xp.ones((2000, 2000), 'f')
    for batch in loader:
        arrays = sending(batch)
        for _ in range(20):
            busy = busy @ busy * 1e-4  # the next batch is copied before these products end
        received.append(([each + 0 for each in arrays], loader.position))
    assert_stacked([([each.get() for each in arrays], position) for arrays, position in received],
                   loader)


@pytest.mark.gpu
def test_the_memory_of_the_batches_is_page_locked_on_a_gpu(loader, gpu, recwarn):
    batches(loader, Transfer(loader))
    attributes = gpu.xp.cuda.runtime.pointerGetAttributes(loader.ring.memory.ctypes.data)
    assert attributes.type == gpu.xp.cuda.runtime.memoryTypeHost and not recwarn.list
