"""The detections of a network on every image of a data set, beside the ground truth."""
import itertools
from typing import Any

from multibox.processes import ONE, OneProcess

import chainer
from chainercv.utils import apply_to_iterator


def detect(model: Any, dataset: Any, batchsize: int = 32,
           processes: OneProcess = ONE) -> list[list] | None:
    """Detect objects in every image of a data set; images are loaded per batch and not kept.

    Args:
        model: has ``predict(imgs) -> (bboxes, labels, scores)``, lists of (R, 4) float32,
            (R,) int32 and (R,) float32 arrays; see docs/conventions.md.
        dataset: ``dataset[i]`` is (img, bbox, label, difficult): (3, H, W) float32, (R, 4)
            float32, (R,) int32 and (R,) bool.
        batchsize: number of images per call of ``predict``.
        processes: the processes that share the images.

    Returns:
        Six lists with one array per image: bbox, label and score of the detections; bbox, label and
        difficult of the ground truth. None on all processes but the first.
    """
    start, stop = (len(dataset) * i // processes.size
                   for i in (processes.rank, processes.rank + 1))
    shares = processes.gather(
        _detect(model, chainer.datasets.SubDataset(dataset, start, stop), batchsize))
    if shares is None:
        return None
    return [list(itertools.chain(*lists)) for lists in zip(*shares)]


def _detect(model, dataset, batchsize):
    if not len(dataset):  # more processes than images
        return [[]] * 6
    iterator = chainer.iterators.SerialIterator(dataset, batchsize, repeat=False, shuffle=False)
    in_values, predicted, truth = apply_to_iterator(model.predict, iterator)
    del in_values  # ChainerCV would keep every image
    return [*map(list, predicted), *map(list, truth)]
