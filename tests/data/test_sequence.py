"""The order of a run's examples, their augmentation and their loader.

The number of processes changes none of them.
"""
import contextlib
import copy
import multiprocessing
import os
import random
import signal
import time

from multibox.data import Loader, MakeTargets, TrainingSequence, augment, seed_all
from multibox.errors import UserError
from multibox.networks import make_detector

import cv2
import numpy as np
import pytest
from chainer.serializers import DictionarySerializer, NpzDeserializer

MEAN = np.array((123, 117, 104), 'f')[:, None, None]


class Photographs:
    """Five random images. The last one has no objects."""

    def __len__(self):
        return 5

    def __getitem__(self, i):
        rng = np.random.RandomState(i)
        img = rng.uniform(0, 255, (3, 60 + i, 80)).astype('f')
        bbox = np.array([[5, 10, 40, 50], [20, 30, 55, 75]], 'f')[:0 if i == 4 else 2]
        return img, bbox, np.arange(len(bbox), dtype='i'), np.zeros(len(bbox), bool)


class Augment:
    def __call__(self, img, bbox, label):
        return augment(img, bbox, label, 40, MEAN)


def read_all(n_processes, length=20, batchsize=4, start=0, augment=None, **kwargs):
    loader = Loader(TrainingSequence(Photographs(), augment or Augment(), 7, length), batchsize,
                    n_processes, **kwargs)
    loader.position = start
    examples = [copy.deepcopy(example) for batch in loader for example in batch]
    loader.finalize()
    return examples


def assert_same(these, those):
    assert len(these) == len(those)
    for one, two in zip(these, those):
        for a, b in zip(one, two):
            np.testing.assert_array_equal(a, b)


def test_every_epoch_sees_every_image_once_in_another_order():
    sequence = TrainingSequence(Photographs(), Augment(), 0, 50)
    order = [sequence.source(t) for t in range(50)]
    epochs = [tuple(index for e, index in order if e == epoch) for epoch in range(10)]
    assert all(sorted(epoch) == [0, 1, 2, 3, 4] for epoch in epochs)
    assert len(set(epochs)) > 1


def test_random_access_gives_what_reading_in_order_gives():
    sequence = TrainingSequence(Photographs(), Augment(), 0, 20)
    assert [sequence.source(t) for t in (17, 3)] == [
        [sequence.source(t) for t in range(20)][i] for i in (17, 3)]


class AugmentToOneSize(Augment):
    """Examples with the same shapes: the boxes of an image without objects are zeros."""

    def __call__(self, img, bbox, label):
        img, bbox, label = super().__call__(img, bbox, label)
        return img, np.resize(bbox, (2, 4)), np.resize(label, 2)


FIELDS = [((3, 40, 40), 'f'), ((2, 4), 'f'), ((2,), 'i')]


@pytest.mark.parametrize('n_processes', [1, 3])
@pytest.mark.parametrize('augment, fields', [(Augment(), None), (AugmentToOneSize(), FIELDS)],
                         ids=['pipe', 'ring'])
def test_workers_give_what_one_process_gives(n_processes, augment, fields):
    examples = read_all(n_processes, length=60, augment=augment, fields=fields)
    assert_same(examples, read_all(0, length=60, augment=augment))
    examples[0][0][:] = 0  # an example may be changed by its receiver


def test_the_fields_are_those_of_an_example():
    model = make_detector('slim300', 2)
    make = MakeTargets(model.coder, model.insize, model.mean)
    assert make.fields == [(array.shape, array.dtype) for array in make(*Photographs()[0][:3])]


def test_the_same_image_is_augmented_differently_in_the_next_epoch():
    examples = read_all(0, length=10, batchsize=5)
    sequence = TrainingSequence(Photographs(), Augment(), 7, 10)
    first = {sequence.source(t)[1]: examples[t][0] for t in range(5)}
    for t in range(5, 10):
        assert not np.array_equal(examples[t][0], first[sequence.source(t)[1]])


def test_an_example_follows_from_seed_epoch_and_index():
    sequence = TrainingSequence(Photographs(), Augment(), 7, 20)
    for t in (0, 3, 12):
        epoch, index = sequence.source(t)
        seed_all(7, epoch, index)
        expected = augment(*Photographs()[index][:3], 40, MEAN)
        assert_same([sequence[t]], [expected])


def test_the_seed_decides_the_order():
    orders = {tuple(TrainingSequence(Photographs(), Augment(), seed, 20).source(t)[1]
                    for t in range(20)) for seed in range(3)}
    assert len(orders) == 3


def test_another_seed_gives_another_run():
    one, two = (TrainingSequence(Photographs(), Augment(), seed, 5)[0][0] for seed in (0, 1))
    assert not np.array_equal(one, two)


@pytest.mark.parametrize('n_processes', [0, 2])
def test_a_restored_loader_goes_on_where_it_was(n_processes):
    sequence = TrainingSequence(Photographs(), Augment(), 7, 20)
    loader = Loader(sequence, 4, n_processes)
    next(loader), next(loader)
    saved = DictionarySerializer()
    loader.serialize(saved)
    loader.finalize()
    restored = Loader(sequence, 4, n_processes)
    restored.serialize(NpzDeserializer(saved.target))
    assert_same([example for batch in restored for example in batch], read_all(0, start=8))
    restored.finalize()


def test_epochs_are_counted_in_passes_over_the_images():
    loader = Loader(TrainingSequence(Photographs(), Augment(), 7, 20), 4, 0)
    seen = [(loader.epoch_detail, loader.epoch, loader.is_new_epoch) for _ in loader]
    assert seen == [(.8, 0, False), (1.6, 1, True), (2.4, 2, True), (3.2, 3, True), (4., 4, True)]


def fail(img, bbox, label):
    raise UserError('photo.jpg: cannot be decoded')


def die(img, bbox, label):
    os._exit(1)


@pytest.mark.parametrize('n_processes', [0, 2])
def test_an_error_in_a_worker_arrives(n_processes):
    loader = Loader(TrainingSequence(Photographs(), fail, 0, 8), 4, n_processes)
    with pytest.raises(UserError, match=r'photo\.jpg'):
        next(loader)
    loader.finalize()


def fail_at_one(img, bbox, label):
    if img.shape[1] == 62:
        raise UserError('photo.jpg: cannot be decoded')
    return img, bbox, label


def test_after_an_error_the_loader_goes_on_where_it_is_told_to():
    sequence = TrainingSequence(Photographs(), fail_at_one, 0, 12)
    loader = Loader(sequence, 2, 2)
    n_read = 0
    for position in range(0, 12, 2):
        loader.position = position
        with contextlib.suppress(UserError):
            assert_same(next(loader), [sequence[t] for t in (position, position + 1)])
            n_read += 1
    assert 0 < n_read < 6
    loader.finalize()


def test_opencv_rounds_alike_in_the_main_process_and_in_workers():
    cv2.setNumThreads(2)
    Loader(TrainingSequence(Photographs(), Augment(), 7, 20), 4, 0)
    assert cv2.getNumThreads() == 1


def test_a_dead_worker_is_reported():
    loader = Loader(TrainingSequence(Photographs(), die, 0, 8), 4, 1)
    with pytest.raises(UserError, match=r'a loader process died.*--loader-processes'):
        next(loader)
    loader.finalize()


def test_a_worker_that_dies_between_batches_is_reported():
    loader = Loader(TrainingSequence(Photographs(), Augment(), 7, 200), 4, 1)
    next(loader)
    for pid in loader._workers.pids:
        os.kill(pid, signal.SIGKILL)
    with pytest.raises(UserError, match='a loader process died'):
        for _ in range(20):
            next(loader)
    loader.finalize()


def test_saving_keeps_what_was_loaded_ahead():
    loader = Loader(TrainingSequence(Photographs(), Augment(), 7, 20), 4, 1)
    next(loader)
    workers, ahead = loader._workers, dict(loader._missing)
    loader.serialize(DictionarySerializer())
    assert ahead and loader._missing == ahead and loader._workers is workers
    loader.finalize()


def test_seed_all_fixes_both_generators():
    def draws(*entropy):
        seed_all(*entropy)
        return random.random(), np.random.uniform()
    assert draws(1, 2, 3) == draws(1, 2, 3)
    assert not set(draws(1, 2, 3)) & set(draws(1, 2, 4))
    assert not set(draws(7)) & set(draws(7, 0))


@pytest.mark.parametrize('n_processes', [0, 2])
def test_processes_that_share_batches_load_the_parts_of_the_whole(n_processes):
    sequence = TrainingSequence(Photographs(), Augment(), 7, 24)
    whole = list(Loader(sequence, 6, 0))
    for rank in range(3):
        loader = Loader(sequence, 6, n_processes, rank, 3)
        own = list(loader)
        loader.finalize()
        assert [len(batch) for batch in own] == [2, 2, 2, 2]
        for batch, expected in zip(own, whole):
            for (img, *_), (expected_img, *_) in zip(batch, expected[2 * rank:2 * rank + 2]):
                np.testing.assert_array_equal(img, expected_img)


def test_a_loader_with_a_dead_worker_is_ended_at_once():
    loader = Loader(TrainingSequence(Photographs(), Augment(), 7, 200), 4, 2)
    next(loader)
    os.kill(multiprocessing.active_children()[0].pid, signal.SIGKILL)
    begin = time.monotonic()
    loader.finalize()
    assert time.monotonic() - begin < 10 and not multiprocessing.active_children()
