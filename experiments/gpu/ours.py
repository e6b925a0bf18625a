"""Our training step as train.py makes it, on one batch or fed by the loader; the loader alone."""
import pathlib

from multibox import convolution
from multibox.data import Loader, MakeTargets, TrainingSequence
from multibox.data.sets import load_data
from multibox.detectors import make_detector
from multibox.devices import is_gpu, select_device
from multibox.gpu import functions
from multibox.training import TrainChain, Transfer, halve, make_optimizer, use_precision

import chainer
import numpy as np
from chainer.backends import cuda


def contestant(model, precision, device, batch):
    """A training step on a batch that is on the GPU already.

    Args:
        model: a key of ``multibox.detectors.MODELS``.
        precision, device: as of train.py.
        batch: images (B, 3, insize, insize), offsets (B, K, 4), labels (B, K), NumPy arrays.

    Returns:
        Three functions: a step, wait for what was begun, bytes of GPU memory that its pool holds.
    """
    update, wait, memory = _trainer(make_detector(model, 20), precision, device)
    send = select_device(device).send
    batch = [send(array) for array in batch]
    return lambda: update(batch), wait, memory


def fed(model, precision, device, batchsize, workers, data):
    """The same with every batch from the loader; arguments and result as above.

    Args:
        batchsize: images in a step.
        workers: loader processes.
        data: a folder as of train.py, or None.
    """
    detector = make_detector(model, 20)
    loader = _loader(detector, batchsize, workers, data)
    update, wait, memory = _trainer(detector, precision, device)
    to_device = Transfer(loader) if is_gpu(device) else chainer.dataset.concat_examples
    return lambda: update(to_device(next(loader))), wait, memory


def loader(model, batchsize, workers, data):
    """The loader alone; arguments and result as above."""
    loader = _loader(make_detector(model, 20), batchsize, workers, data)
    return lambda: next(loader), lambda: None, lambda: 0


def _loader(detector, batchsize, workers, data):
    targets = MakeTargets(detector.coder, detector.insize, detector.mean)
    images = load_data(data and pathlib.Path(data)).train.as_decoded()
    sequence = TrainingSequence(images, targets, 0, 10 ** 6 * batchsize)
    return Loader(sequence, batchsize, workers, example_bytes=targets.nbytes)


def _trainer(detector, precision, device):
    on_gpu, device = is_gpu(device), select_device(device)
    use_precision(precision, device)
    convolution.install(convolution.fastest(on_gpu), precision)
    if on_gpu:
        functions.install()
    if precision == 'float16':
        halve(detector)
    chain = TrainChain(detector)
    chain.to_device(device)
    optimizer = make_optimizer('momentum_sgd', chain, 1e-6, 5e-4)

    def wait():
        chain.check()
        if device.xp is not np:
            device.xp.cuda.get_current_stream().synchronize()

    def memory():
        return 0 if device.xp is np else cuda.memory_pool.total_bytes()

    return lambda batch: optimizer.update(chain, *batch), wait, memory
