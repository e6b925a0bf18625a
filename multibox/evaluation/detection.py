"""The detections of a network on every image of a data set, beside the ground truth."""
import itertools
import sys
from typing import Any

from multibox.data.pictures import Unreadable
from multibox.data.voc import VOCDataset
from multibox.errors import UserError
from multibox.networks.ssd import SSD
from multibox.processes import ONE, OneProcess

import numpy as np

NOTHING = np.zeros((0, 4), np.float32), np.zeros(0, np.int32), np.zeros(0, np.float32)


def detect(model: Any, dataset: Any, batchsize: int = 32, processes: OneProcess = ONE,
           strict: bool = True) -> list[list] | None:
    """Detect objects in every image of a data set; images are loaded per batch and not kept.

    Args:
        model: has ``predict(imgs) -> (bboxes, labels, scores)``, lists of (R, 4) float32,
            (R,) int32 and (R,) float32 arrays; see docs/conventions.md.
        dataset: ``dataset[i]`` is (img, bbox, label, difficult): (3, H, W) float32, (R, 4)
            float32, (R,) int32 and (R,) bool. Worker processes decode and resize the images of a
            :class:`multibox.data.VOCDataset` for a network of this package.
        batchsize: number of images per call of ``predict``.
        processes: the processes that share the images.
        strict: False leaves an image that can no longer be read out of all scores, and names it on
            stderr. Such an image has no detections, and all its objects are difficult.

    Returns:
        Six lists with one array per image: bbox, label and score of the detections; bbox, label and
        difficult of the ground truth. None on all processes but the first.

    Raises:
        UserError: an image can no longer be read, and ``strict`` is True.
    """
    start, stop = (len(dataset) * i // processes.size
                   for i in (processes.rank, processes.rank + 1))
    shares = processes.gather(_detect(model, dataset, range(start, stop), batchsize, strict))
    if shares is None:
        return None
    return [list(itertools.chain(*lists)) for lists in zip(*shares)]


def _detect(model, dataset, indices, batchsize, strict):
    rows: list = []
    for batch in _load(model, dataset, indices, batchsize, strict):
        images = [img for img, *_ in batch if img is not None]
        found = zip(*model.predict(images)) if images else iter(())
        for img, bbox, label, difficult in batch:
            if img is None:
                rows.append((*NOTHING, bbox, label, np.ones(len(label), bool)))
            else:
                rows.append((*next(found), bbox, label, difficult))
    return list(map(list, zip(*rows))) or [[]] * 6  # more processes than images


def _load(model, dataset, indices, batchsize, strict):
    """The examples in lists; None stands for an image that cannot be read."""
    starts = range(0, len(indices), batchsize)
    if not (isinstance(dataset, VOCDataset) and isinstance(model, SSD)):
        yield from ([dataset[i] for i in indices[start:start + batchsize]] for start in starts)
        return
    batches = dataset.resized(indices, model.insize, batchsize, overlap=model.xp is not np)
    for start, images in zip(starts, batches):
        examples = [dataset.examples[i] for i in indices[start:start + batchsize]]
        yield [(_usable(img, example.path, strict), example.bbox, example.label, example.difficult)
               for img, example in zip(images, examples)]


def _usable(img, path, strict):
    if not isinstance(img, Unreadable):
        return img
    if strict:
        raise UserError(f'{path}: {img}; replace it, or take it out of the data')
    print(f'{path}: {img}; the scores of this evaluation are without it', file=sys.stderr,
          flush=True)
    return None
