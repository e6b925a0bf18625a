"""A loader process that dies in the middle of its result, and limits of the system."""
import multiprocessing
import os
import resource

from multibox.data import Loader, TrainingSequence
from multibox.errors import UserError

import numpy as np
import pytest

write = os.write


class DiesInMidResult:
    """A data set whose examples end a loader process when half of a result is written."""

    def __len__(self):
        return 4

    def __getitem__(self, i):
        if multiprocessing.parent_process() is not None:
            os.write = _write_half
        return np.zeros(1000, 'f'),


def _write_half(descriptor, message):
    write(descriptor, bytes(message)[:len(message) // 2])
    os._exit(1)


def keep(*example):
    return example


def test_a_worker_that_dies_while_it_writes_is_reported():
    batches = Loader(TrainingSequence(DiesInMidResult(), keep, 0, 8), 4, 1)
    with pytest.raises(UserError, match='a loader process died'):
        next(batches)
    batches.finalize()


def test_a_limit_on_the_size_of_files_is_named():
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (512, before[1]))
    try:
        with pytest.raises(UserError, match=r'be started \(File too large\); give --loader-p'):
            Loader(range(4), 2, 1, fields=[((10 ** 6,), 'B')]).peek()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


class FifthIsBad:
    """A data set of which one image cannot be read."""

    def __len__(self):
        return 12

    def __getitem__(self, i):
        if i == 5:
            raise UserError('image 5 cannot be read')
        return np.full(3, i, 'f'), np.zeros((0, 4), 'f'), np.zeros(0, 'i'), None


class InOrder(TrainingSequence):

    def source(self, t):
        return divmod(t, len(self.dataset))


def image(img, bbox, label):
    return img,


@pytest.mark.parametrize('n_processes', [0, 1])
def test_an_error_in_the_batch_that_is_peeked_at_waits_for_its_turn(n_processes):
    batches = Loader(InOrder(FifthIsBad(), image, 0, 12), 4, n_processes, fields=[((3,), 'f')])
    next(batches)
    while batches._error is None:
        assert batches.peek(wait=False) is None
    with pytest.raises(UserError, match='image 5 cannot be read'):
        next(batches)
    assert batches.position == 4
    batches.finalize()
