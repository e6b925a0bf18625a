"""A rough estimate of the duration of a run, before its first iteration."""
import math
from time import perf_counter
from typing import Any

from multibox.data.augmentation import keeping_random_state

import chainer
import numpy as np

# Units of time: name, seconds, and the duration in seconds from which the next unit is used.
UNITS = (('second', 1, 90), ('minute', 60, 90 * 60), ('hour', 3600, 48 * 3600),
         ('day', 86400, math.inf))
SLOW = 2  # loading takes this many times as long as computing
STEP = 3  # duration of a training step over that of a forward pass; a backward pass takes two


def expected_time(trainer: Any) -> str:
    """Estimate how long the rest of a run takes.

    A forward pass on a batch of zeros and the loading of two examples are timed. They change no
    weight, no statistic of a batch normalisation and no random generator, so the run stays the same
    to the last bit.

    Args:
        trainer: the trainer, before ``run``. Its stop trigger is a
            :class:`multibox.training.Stop`, and its target a :class:`multibox.training.TrainChain`.

    Returns:
        A sentence such as '540 iterations: about 90 seconds on this machine'.
    """
    updater = trainer.updater
    if trainer.stop_trigger.is_last(updater.iteration):
        return 'the run is at its end; its results are written again'
    loader = updater.get_iterator('main')
    left = trainer.stop_trigger.n_iteration - updater.iteration
    step = STEP * _forward_seconds(updater.get_optimizer('main').target.model, loader.n_own)
    loading = loader.n_own * _loading_seconds(loader.sequence)
    # Loader processes work while the network computes.
    n = loader.n_processes
    seconds = max(step, loading / n) if n else step + loading
    text = f'{left} iterations: about {duration(seconds * left)} on this machine'
    if loading > SLOW * step * max(1, n):
        text += ('; the images are large, and loading them takes most of it: smaller copies, or '
                 'a larger --loader-processes, train faster')
    return text


def _loading_seconds(sequence):
    """Seconds to load an example in one process; the second of two examples counts."""
    seconds = 0.
    with keeping_random_state():
        for t in range(min(2, len(sequence))):
            begin = perf_counter()
            sequence[t]
            seconds = perf_counter() - begin
    return seconds


def _forward_seconds(model, n_image):
    """Seconds of a forward pass. The second pass counts, because the first one also sets up."""
    imgs = model.xp.zeros((n_image, 3, model.insize, model.insize), np.float32)
    for _ in range(2):
        begin = perf_counter()
        with chainer.using_config('train', False), chainer.no_backprop_mode():
            mb_locs, _ = model(imgs)
        chainer.backends.cuda.to_cpu(mb_locs.array[:1])  # waits for a GPU
        seconds = perf_counter() - begin
        if seconds > 1:  # the set-up is a small part, and another pass would take long
            break
    return seconds


def duration(seconds: float) -> str:
    """Write a duration in round numbers: in seconds below 90 seconds, else in a larger unit.

    Args:
        seconds: at least 0.

    Returns:
        str such as '40 seconds', '5 minutes', '3 hours' or '12 days'.
    """
    name, unit = next((name, unit) for name, unit, end in UNITS if seconds < end)
    n = max(1, round(seconds / unit))
    return f'{n} {name}{"s" * (n != 1)}'
