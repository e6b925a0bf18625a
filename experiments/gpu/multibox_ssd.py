"""The contestants of multibox: train.py's step on one batch or fed by the loader, and the loader.

Each function makes a contestant for a process of its own; see :mod:`experiments.timing.contestant`.
"""
from experiments.timing.arrays import random_batch
from experiments.timing.contestant import Contestant
from multibox.data import Loader, MakeTargets, TrainingSequence, load_data
from multibox.devices import hardware, select_device
from multibox.engines import set_up
from multibox.engines.convolution.plans import Table
from multibox.networks import make_detector
from multibox.report.metrics import versions
from multibox.training import TrainChain, Transfer, halve, make_optimizer
from multibox.training.plans import measure
from multibox.training.release import Release
from multibox.training.updater import GraphedUpdate

import numpy as np
from chainer.backends import cuda


def on_one_batch(model: str, precision: str, device: str, batchsize: int) -> Contestant:
    """A training step on a batch that is on the device already.

    Args:
        model, precision, device: as of train.py.
        batchsize: number of images.

    Raises:
        UserError: the device does not exist, or the precision does not fit it.
    """
    device = select_device(device)
    detector = make_detector(model, 20)
    batch = random_batch(batchsize, detector.insize, len(detector.coder.default_bbox))
    batch = [device.send(array) for array in batch]
    return _trainer(detector, precision, device, batchsize, lambda: batch)


def fed(model: str, precision: str, device: str, batchsize: int, workers: int, data: str | None
        ) -> Contestant:
    """A training step on batches from the loader.

    Args:
        model, precision, device, batchsize: as for :func:`on_one_batch`.
        workers: number of loader processes.
        data: a folder as of train.py; None for the built-in set.

    Raises:
        UserError: as for :func:`on_one_batch`, or the data cannot be read.
    """
    device = select_device(device)
    detector = make_detector(model, 20)
    loader = _loader(detector, batchsize, workers, data)
    to_device = loader.arrays if device.xp is np else Transfer(loader)
    return _trainer(detector, precision, device, batchsize, lambda: to_device(next(loader)))


def loader_alone(model: str, batchsize: int, workers: int, data: str | None) -> Contestant:
    """The loader without a network; arguments and errors as for :func:`fed`."""
    loader = _loader(make_detector(model, 20), batchsize, workers, data)
    return Contestant(lambda: next(loader), versions=_versions(select_device('-1')))


def _loader(detector, batchsize, workers, data):
    targets = MakeTargets(detector.coder, detector.insize, detector.mean)
    images = load_data(data).train.as_decoded()
    sequence = TrainingSequence(images, targets, 0, 10 ** 6 * batchsize)
    return Loader(sequence, batchsize, workers, fields=targets.fields)


def _trainer(detector, precision, device, batchsize, next_batch):
    """The step of train.py; ``next_batch`` returns the arrays of a batch on the device."""
    set_up(device, precision=precision, spare_cores=1)
    if precision in ('float16', 'bfloat16'):
        halve(detector, precision)
    chain = TrainChain(detector)
    chain.to_device(device)
    optimizer = make_optimizer('momentum_sgd', chain, 1e-6, 5e-4)
    on_gpu = device.xp is not np
    if on_gpu:
        measure(detector, batchsize, Table())
    graphed = GraphedUpdate(optimizer)

    def step():
        with Release():
            if on_gpu:
                graphed(*next_batch())
            else:
                optimizer.update(chain, *next_batch())

    def wait():
        chain.check()
        if on_gpu:
            device.xp.cuda.get_current_stream().synchronize()

    def memory():
        return cuda.memory_pool.total_bytes() + graphed.nbytes if on_gpu else 0

    return Contestant(step, wait, memory, _versions(device))


def _versions(device):
    return {**versions(), 'hardware': hardware(device)}
