"""Whether a run has learned: three signs in numbers, and a sentence for each bad sign."""
from collections.abc import Sequence
from typing import Any, NamedTuple

from multibox.evaluation.signs import (
    PER_POSITIVE,
    SameBox,
    best_on_empty_images,
    constant_loss,
    final_loss,
    rise,
    same_box,
)
from multibox.evaluation.threshold import DEFAULT_THRESHOLD, threshold_curve
from multibox.faults import Faults

import numpy as np

LEAST_GAIN = 0.02  # by this share, the loss of a run has to lie below that of a constant network
LEAST_IMAGES = 5  # with fewer images, boxes agree by chance
MANY = 0.5  # the share of the images from which one box is suspicious
PASSED = 'The checks of learning found nothing wrong.'
LOOK = 'Look at the boxes first: python -m multibox.data check DIR --pictures look.'


class Learning(NamedTuple):
    """The result of :func:`examine`.

    Attributes:
        threshold: float, the score from which a detection counts.
        threshold_from: str, the origin of the threshold.
        conf_loss: float, the confidence loss at the end of the run. None without a training, or if
            the formulation does not divide it by the positives of the batch.
        constant_loss: float, the least loss of a network with the same output for every box, or
            None as for ``conf_loss``.
        black, noise: floats, the highest scores in a black image and in one of noise; None if the
            check failed.
        typical: float, the median over the test images of the highest score; None without images.
        same_box: :class:`multibox.evaluation.signs.SameBox`; None without detections.
        findings: list of str, one sentence or more per bad sign; :data:`PASSED` without one.
        failed: one line per check that ended in an error.
    """
    threshold: float
    threshold_from: str
    conf_loss: float | None
    constant_loss: float | None
    black: float | None
    noise: float | None
    typical: float | None
    same_box: SameBox | None
    findings: list[str]
    failed: Sequence[str] = ()

    def metrics(self) -> dict:
        """The entries for metrics.json: ``threshold``, ``threshold_from`` and ``learning``."""
        numbers = self._asdict()
        threshold = {name: numbers.pop(name) for name in ('threshold', 'threshold_from')}
        del numbers['failed']
        return {**threshold, 'learning': {
            **numbers, 'same_box': self.same_box and self.same_box._asdict()}}


def examine(model: Any, data: Any, images: list, threshold: float | None,
            run: Any = None) -> Learning:
    """Check for signs that a network has not learned.

    Args:
        model: the network, with a low ``score_thresh``. Its ``threshold`` tells whether the
            threshold comes from the weights.
        data: :class:`multibox.data.voc.VOCData`.
        images: from :func:`multibox.evaluation.detect`, on ``data.test``.
        threshold: the score from which a detection counts; None if no detection is right.
        run: the settings of a training that has ended, of which ``out``, ``loss``, ``k``,
            ``iteration``, ``pretrained`` and ``reuse`` are read. None leaves the loss out, as for
            an evaluation and for a training that goes on.

    Returns:
        :class:`Learning`.
    """
    origin = ('the threshold of the weights' if model.threshold is not None else
              'the default, because there is no test image' if not images[2] else
              'the threshold of the best F1 on the test images' if threshold is not None else
              'the default, because no detection is right')
    conf_loss = constant = risen = black = noise = box = None
    faults = Faults()
    with faults.of('the check of the loss'):
        if run is not None and run.loss in PER_POSITIVE:
            conf_loss, constant = final_loss(run.out), constant_loss(_count(data), run.k)
    with faults.of('the check of the loss on the test images'):
        risen = run and rise(run.out)
    with faults.of('the check of empty images'):
        black, noise = best_on_empty_images(model)
    with faults.of('the check of equal boxes'):
        box = same_box(images, [example.size for example in data.test.examples])
    best = [score.max(initial=0) for score in images[2]]
    typical = float(np.median(best)) if best else None
    used = DEFAULT_THRESHOLD if threshold is None else threshold
    nothing_right = any(map(len, images[4])) and threshold_curve(images).best is None
    pretrained = run is not None and (run.pretrained != 'none' or run.reuse is not None)
    start = '' if pretrained else ', or from weights of ImageNet (--model lite300)'
    longer = '(--iteration)' if run is None else (
        f'than these {run.iteration} (--iteration {2 * run.iteration})')
    findings = [*_on_loss(conf_loss, constant, start, longer),
                *_on_memory(risen),
                *_on_empty_images(black, noise, used, typical),
                *_on_same_box(box, data.label_names, start, longer),
                *_on_nothing(nothing_right, longer), *faults.found]
    return Learning(used, origin, conf_loss, constant, black, noise, typical, box,
                    findings or [PASSED], faults.found)


def _count(data):
    """(C - 1,) int array: number of training objects of each class."""
    labels = [np.zeros(0, int), *(example.label for example in data.train.examples)]
    return np.bincount(np.concatenate(labels), minlength=len(data.label_names))


def _on_loss(loss, constant, start, longer):
    if loss is not None and constant and loss > (1 - LEAST_GAIN) * constant:
        yield (f'The confidence loss at the end of the run is {loss:.2f}. A network that gives '
               f'every box the same probabilities reaches {constant:.2f}. The run was too short, '
               'or the network does not tell objects from background. Train for more iterations '
               f'{longer}, or with a lower --lr{start}.')


def _on_memory(risen):
    if risen is not None:
        lowest, iteration, last = risen
        yield (f'The loss on the test images rose from {lowest:.2f} after iteration {iteration} to '
               f'{last:.2f}, while that of training fell: the network learns the training images '
               'by heart. Use best.npz, and train on more images, or with --augmentation full.')


def _on_empty_images(black, noise, threshold, typical):
    # The best of thousands of boxes passes the threshold easily, so a score above it is a bad sign
    # only if it lies nearer to the best scores in photographs.
    least = max(threshold, (threshold + (typical or 0)) / 2)
    found = [f'{score:.2f} in {image}' for score, image in (
        (black, 'a black image'), (noise, 'an image of noise'))
             if score is not None and score >= least]
    if found:
        yield (f'The best detection has a score of {" and of ".join(found)}, and detections count '
               f'from {threshold:.2f} on: the network also finds objects where there are none. '
               'Train on more images, or for more iterations (--iteration).')


def _on_same_box(box, label_names, start, longer):
    often = box is not None and box.n_image >= LEAST_IMAGES and box.share >= MANY
    if often and box.true_share < box.share / 2:
        yield (f'In {100 * box.share:.0f} % of the test images the best detection is one and the '
               f'same box, of the class {label_names[box.label]}. Such an object is in '
               f'{100 * box.true_share:.0f} % of the images, so the network gives one answer for '
               f'different images. {LOOK} Then train for more iterations {longer}, or with '
               f'--augmentation flip{start}.')


def _on_nothing(nothing_right, longer):
    if nothing_right:
        yield (f'No detection in the test images is right. {LOOK} Then train for more iterations '
               f'{longer}, or with a lower --lr.')
