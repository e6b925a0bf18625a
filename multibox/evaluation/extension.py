"""The evaluation as an extension of Chainer's trainer."""
from typing import Any

from multibox.evaluation.threshold import threshold_curve
from multibox.evaluation.voc import evaluate
from multibox.processes import ONE, OneProcess

import chainer


class Evaluation(chainer.training.Extension):
    """Evaluate the network, report ``validation/main/map`` and keep the whole result.

    An image that can no longer be read does not end the run; see
    :func:`multibox.evaluation.detect`.

    Args:
        model: the network.
        dataset: a :class:`multibox.data.VOCDataset`.
        label_names: class names in the order of the labels.
        batchsize: number of images per process and call of the network.
        processes: the processes that share the images.

    Attributes:
        result: ``(iteration, score, images)`` of the last evaluation, or None before it. ``score``
            and ``images`` are the results of :func:`multibox.evaluation.evaluate`. On the first
            process, ``score`` also has ``threshold``, that of the best F1 or None.
    """

    priority = chainer.training.PRIORITY_WRITER

    def __init__(self, model: Any, dataset: Any, label_names: tuple, batchsize: int,
                 processes: OneProcess = ONE):
        self.arguments = model, dataset, label_names, batchsize
        self.processes = processes
        self.result: tuple | None = None

    def __call__(self, trainer: chainer.training.Trainer) -> None:
        self.result = None  # frees the last detections before new ones take memory
        score, images = evaluate(*self.arguments, processes=self.processes, strict=False)
        if images is not None:
            score['threshold'] = threshold_curve(images).best
        self.result = trainer.updater.iteration, score, images
        if score['map'] is not None:
            chainer.report({'validation/main/map': score['map']})
