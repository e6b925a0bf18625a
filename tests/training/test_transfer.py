"""Batches reach the GPU whole and in order, although they are copied while it computes."""
import functools
import sys
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


@pytest.fixture(params=[0, 1], ids='{} processes'.format)
def loader(request):
    loader = Loader(TrainingSequence(Images(), identity, 3, 12), 4, request.param)
    yield loader
    loader.finalize()


def test_peeking_leaves_the_loader_where_it_is(loader):
    next(loader)
    saved, ahead = DictionarySerializer(), loader.peek()
    loader.serialize(saved)
    assert loader.position == saved.target['position'] == 4 and loader.peek() is ahead
    assert next(loader) is ahead and loader.peek() is not None
    loader.serialize(NpzDeserializer(saved.target))  # the batch that was peeked at is dropped
    for example, again in zip(ahead, next(loader)):
        np.testing.assert_array_equal(example[0], again[0])
    next(loader)
    assert loader.peek() is None


class Event:
    def __init__(self, stream):
        self.stream, self.n_before = stream, len(stream.work)

    def synchronize(self):
        for do in self.stream.work[:self.n_before]:
            do()


class Stream:
    """A stream that works as late as possible: when the host or another stream waits for it."""

    def __init__(self, non_blocking=False):
        self.non_blocking, self.work, self.waits_for = non_blocking, [], []

    def record(self):
        return Event(self)

    def wait_event(self, event):
        self.work.append(event.synchronize)
        self.waits_for.append(event.stream)


class Array(np.ndarray):
    def set(self, source, stream):
        assert stream.waits_for[-1] is CURRENT  # earlier arrays of that stream were in this memory
        copied = []

        def copy():
            if not copied:
                self[...] = source
            copied.append(True)
        stream.work.append(copy)


CURRENT = Stream()


@pytest.fixture
def late_gpu(monkeypatch):
    """Replace CuPy by copies that read their source as late as possible."""
    def empty(shape, dtype):
        return np.full(shape, -1, dtype).view(Array)
    cupy = types.SimpleNamespace(
        empty=empty, cuda=types.SimpleNamespace(get_current_stream=lambda: CURRENT))
    monkeypatch.setattr(transfer, 'cuda', types.SimpleNamespace(cupy=cupy, Stream=Stream))
    # CuPy hands out page-locked memory again as soon as it is freed.
    monkeypatch.setitem(sys.modules, 'cupyx', types.SimpleNamespace(
        empty_pinned=functools.cache(empty)))


def batches(loader, sending):
    """Send every batch, then finish the stream. Returns each batch with the loader's position."""
    received = [(sending(batch), loader.position) for batch in loader]
    CURRENT.record().synchronize()
    return received


def assert_stacked(received, loader):
    assert [position for _, position in received] == [4, 8, 12]
    for start, (arrays, _) in zip((0, 4, 8), received):
        examples = [loader.sequence[t] for t in range(start, start + 4)]
        for array, column in zip(arrays, zip(*examples)):
            np.testing.assert_array_equal(array, np.stack(column))
            assert array.dtype == column[0].dtype


def test_a_copy_that_is_late_is_waited_for(loader, late_gpu):
    sending = Transfer(loader)
    assert_stacked(batches(loader, sending), loader)
    assert len(sending._stream.waits_for) == 3  # every batch is sent once


def test_the_next_batch_is_on_its_way_before_it_is_asked_for(loader, late_gpu):
    sending = Transfer(loader)
    sending(next(loader))
    imgs, *_ = sending._arrays
    CURRENT.record().synchronize()  # does not wait for the copy
    assert loader.position == 4 and (imgs == -1).all()
    sending._copied.synchronize()
    np.testing.assert_array_equal(imgs, [loader.sequence[t][0] for t in range(4, 8)])


def test_a_batch_that_was_not_peeked_at_is_sent(loader, late_gpu):
    saved, sending = DictionarySerializer(), Transfer(loader)
    loader.serialize(saved)
    sending(next(loader))
    loader.serialize(NpzDeserializer(saved.target))
    assert_stacked(batches(loader, sending), loader)


def test_the_stream_of_copies_does_not_wait_for_the_gpus_work(loader, late_gpu):
    assert Transfer(loader)._stream.non_blocking


@pytest.mark.gpu
def test_batches_arrive_on_a_gpu(loader, gpu):
    sending, received = Transfer(loader), []
    busy = gpu.xp.ones((2000, 2000), 'f')
    for batch in loader:
        arrays = sending(batch)
        for _ in range(20):
            busy = busy @ busy * 1e-4  # the next batch is copied before these products end
        received.append(([(each + 0).get() for each in arrays], loader.position))
    assert_stacked(received, loader)
