"""Signs of a network that has not learned: its loss, its answers to empty images, its boxes."""
from pathlib import Path
from typing import Any, NamedTuple

from multibox.files import read_json

import numpy as np
from chainercv.utils import bbox_iou

# The formulations whose confidence term is a sum over mined boxes, divided by the positives of the
# batch. The term of super_gradients is a mean over images, also over those without an object.
PER_POSITIVE = 'caffe', 'chainercv', 'notebook', 'ssd_keras', 'ssd_pytorch'
SAME = 0.9  # least IoU of boxes, relative to the size of their images, that count as one box
RISE = 1.1  # a loss on the test images above this multiple of the lowest has risen
MAX_IMAGES = 1000  # images whose boxes are compared, because all pairs are


class SameBox(NamedTuple):
    """The box that is most often the best detection of a test image.

    Attributes:
        label: int, its class.
        n_image: int, number of images whose best detection it is.
        share: float, the same as a share of the images.
        true_share: float, the share of the images with an object of this class at this place.
    """
    label: int
    n_image: int
    share: float
    true_share: float


def constant_loss(n_objects: np.ndarray, k: float) -> float | None:
    """The least confidence loss, per positive, of a network with the same output for every box.

    Among 1 + k mined boxes one is positive. The best constant probabilities are the frequencies of
    the classes among the mined boxes, and the loss is 1 + k times their entropy: 2.249 for one
    class and k = 3. The shares of the classes are those of the objects, not of the matched boxes,
    because only their entropy enters the loss. Large objects match more boxes, but that changes
    this entropy little, and it is 0 for one class.

    Args:
        n_objects: (C - 1,) int array, number of training objects of each class.
        k: hard negatives per positive.

    Returns:
        The loss, a natural logarithm like that of training; None without an object.
    """
    if not np.sum(n_objects):
        return None
    share = np.append(k, n_objects / np.sum(n_objects)) / (1 + k)
    share = share[share > 0]
    return abs(float((1 + k) * (share * np.log(share)).sum()))


def final_loss(out: Path) -> float | None:
    """The mean confidence loss over the last tenth of Chainer's log of a run.

    Args:
        out: the folder of the run.

    Returns:
        The loss; None without a log.
    """
    losses = [entry['main/loss/conf'] for entry in _log(out) if 'main/loss/conf' in entry]
    return float(np.mean(losses[-max(1, len(losses) // 10):])) if losses else None


def rise(out: Path) -> tuple[float, int, float] | None:
    """Whether the loss on the test images rose while that of the training images fell.

    Args:
        out: the folder of the run.

    Returns:
        ``(lowest, iteration, last)``: the lowest loss on the test images, its iteration, and the
        loss at the end. None if the last loss is at most :data:`RISE` times the lowest, if the
        training loss did not fall since, or if fewer than three evaluations followed.
    """
    entries = [entry for entry in _log(out) if 'validation/main/loss' in entry]
    losses = [entry['validation/main/loss'] for entry in entries]
    if not losses:
        return None
    first = int(np.argmin(losses))
    fell = entries[-1]['main/loss'] < entries[first]['main/loss']
    if len(losses) - first <= 3 or losses[-1] <= RISE * losses[first] or not fell:
        return None
    return losses[first], entries[first]['iteration'], losses[-1]


def _log(out):
    return read_json(out / 'log', list)


def best_on_empty_images(model: Any, seed: int = 0) -> tuple[float, float]:
    """The highest scores in two images without objects.

    Args:
        model: a network; scores below its ``score_thresh`` count as 0.
        seed: seed of the noise.

    Returns:
        The highest score in a black image, and that in an image of uniform noise.
    """
    side = model.insize
    noise = np.random.RandomState(seed).uniform(0, 255, (3, side, side)).astype(np.float32)
    scores = model.predict([np.zeros_like(noise), noise])[2]
    black, noisy = (float(score.max(initial=0)) for score in scores)
    return black, noisy


def same_box(images: list, sizes: list) -> SameBox | None:
    """Find the box that is most often the best detection of an image.

    Two boxes are the same if their classes are equal and their IoU is at least :data:`SAME`. Boxes
    are relative to the sizes of their images. Of more than :data:`MAX_IMAGES` images, that many are
    taken at equal distances.

    Args:
        images: from :func:`multibox.evaluation.detect`.
        sizes: (H, W) of each image in pixels.

    Returns:
        :class:`SameBox`; None if no image has a detection.
    """
    taken = np.linspace(0, len(sizes) - 1, min(len(sizes), MAX_IMAGES)).astype(int)
    chosen = [[part[i] for part in images] for i in taken]
    scale = [np.tile(sizes[i], 2) for i in taken]
    best = [(bbox[score.argmax()] / size, label[score.argmax()])
            for (bbox, label, score, *_), size in zip(chosen, scale) if len(score)]
    if not best:
        return None
    boxes, labels = map(np.array, zip(*best))
    n_same = _same(boxes, labels, boxes, labels).sum(axis=1)
    i = n_same.argmax()
    with_object = [_same(bbox / size, label, boxes[[i]], labels[i]).any()
                   for (*_, bbox, label, _), size in zip(chosen, scale)]
    return SameBox(int(labels[i]), int(n_same[i]), float(n_same[i] / len(taken)),
                   float(np.mean(with_object)))


def _same(bbox, label, other_bbox, other_label):
    """(R, S) bool array, whether boxes of R and of S objects are the same."""
    with np.errstate(all='ignore'):  # a box without an area equals no box
        iou = bbox_iou(bbox, other_bbox)
    return (iou >= SAME) & (label[:, None] == other_label)
