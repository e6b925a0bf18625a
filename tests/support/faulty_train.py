"""train.py with a fault on purpose. Usage: faulty_train.py FAULT FLAGS..."""
import os
import resource
import signal
import sys
import time

import train
from multibox.data import TrainingSequence
from multibox.networks import make_detector

import numpy as np

RANK = int(os.environ.get('OMPI_COMM_WORLD_RANK', 0))


class DeadLoader(TrainingSequence):
    """Kills the loader process that loads the ninth example."""

    def __getitem__(self, t):
        if t == 8:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().__getitem__(t)


class Fault(train.Stop):
    """Raises an error or sends a signal in the second process after its third iteration."""

    def __call__(self, trainer):
        if RANK == 1 and trainer.updater.iteration == 3:
            if sys.argv[1] == 'exception':
                raise ZeroDivisionError('on purpose')
            os.kill(os.getpid(), signal.SIGINT if sys.argv[1] == 'interrupt' else signal.SIGKILL)
        return super().__call__(trainer)

    def __enter__(self):
        if sys.argv[1] != 'interrupt':  # a signal outside of training is not caught
            super().__enter__()

    def __exit__(self, *error):
        if sys.argv[1] != 'interrupt':
            super().__exit__(*error)


class FullDisk(train.Stop):
    """Limits files to a megabyte after the seventh iteration."""

    def __call__(self, trainer):
        if trainer.updater.iteration == 7:
            resource.setrlimit(resource.RLIMIT_FSIZE, (10 ** 6, 10 ** 6))
        return super().__call__(trainer)


class SlowLoader(TrainingSequence):
    """Loads so slowly that the network waits."""

    def __getitem__(self, t):
        time.sleep(.4)
        return super().__getitem__(t)


def in_double_precision(name, n_fg_class):
    """A network in float64. Rounding then hides no other difference between two runs."""
    model = make_detector(name, n_fg_class)
    for parameter in model.params():
        parameter.array = parameter.array.astype(np.float64)
    for link in model.links():
        if hasattr(link, 'avg_mean'):
            link.avg_mean, link.avg_var = link.avg_mean.astype('d'), link.avg_var.astype('d')
    return model


CHANGES = {
    'exception': ('Stop', Fault),
    'killed': ('Stop', Fault),
    'interrupt': ('Stop', Fault),
    'full disk': ('Stop', FullDisk),
    'slow loader': ('TrainingSequence', SlowLoader),
    'dead loader': ('TrainingSequence', DeadLoader),
    'double precision': ('make_detector', in_double_precision),
}

if __name__ == '__main__':
    setattr(train, *CHANGES[sys.argv[1]])
    with train.ending_together('train.py'):
        train.main(sys.argv[2:])
