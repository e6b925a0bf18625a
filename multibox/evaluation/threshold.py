"""Precision, recall and F1 over the threshold on the scores, and the threshold of the best F1."""
from typing import NamedTuple

from multibox.evaluation.mistakes import FOUND, voc_iou

import numpy as np

DEFAULT_THRESHOLD = 0.5  # where neither weights nor detections give a threshold


class ThresholdCurve(NamedTuple):
    """Precision, recall and F1 per threshold, over the detections of all classes together.

    Attributes:
        threshold: (T,) float64 array, falling; a detection counts from this score on.
        precision: (T,) float64 array, the share of the counted detections that are right.
        recall: (T,) float64 array, the share of the objects that are found.
        f1: (T,) float64 array, the harmonic mean of precision and recall.
    """
    threshold: np.ndarray
    precision: np.ndarray
    recall: np.ndarray
    f1: np.ndarray

    @property
    def best(self) -> float | None:
        """The threshold of the best F1, of equal ones the highest; None if nothing is found."""
        return float(self.threshold[self.f1.argmax()]) if self.f1.any() else None


def threshold_curve(images: list) -> ThresholdCurve:
    """Count right and wrong detections from each threshold on, by the rule of VOC.

    A detection is right if its class is that of an object that was not found before, and if their
    IoU is at least 0.5. Difficult objects count neither as found nor as missed. Each threshold is
    the mean of two neighbouring scores, so that it separates them. The last threshold is the lowest
    score.

    Args:
        images: from :func:`multibox.evaluation.detect`.

    Returns:
        :class:`ThresholdCurve`; its arrays are empty without a detection.
    """
    each_image = list(map(_right_and_wrong, *images))
    right, wrong = (np.sort(np.concatenate([[], *(scores[n] for scores in each_image)]))
                    for n in (0, 1))
    n_object = sum(int((~np.asarray(difficult, bool)).sum()) for difficult in images[5])
    scores = np.unique(np.concatenate([right, wrong]))[::-1].astype(float)
    n_right, n_wrong = (len(each) - np.searchsorted(each, scores) for each in (right, wrong))
    threshold = np.append((scores[:-1] + scores[1:]) / 2, scores[-1:])
    counted = np.maximum(n_right + n_wrong, 1)
    return ThresholdCurve(threshold, n_right / counted, n_right / max(n_object, 1),
                          2 * n_right / np.maximum(n_right + n_wrong + n_object, 1))


def _right_and_wrong(bbox, label, score, true_bbox, true_label, difficult):
    """The scores of the right and of the wrong detections of an image.

    The rule is that of :func:`multibox.evaluation.mistakes.compare`, without a loop over the
    detections, which would take minutes for the detections of an early network on VOC's test set.
    """
    if not len(true_label):
        return score[:0], score
    order = np.argsort(-score, kind='stable')
    iou = voc_iou(bbox[order], true_bbox) * (label[order][:, None] == true_label)
    nearest = iou.argmax(axis=1)
    hits = np.flatnonzero(iou.max(axis=1) >= FOUND)
    first = hits[np.unique(nearest[hits], return_index=True)[1]]  # per object, its best detection
    counts = np.ones(len(order), bool)
    counts[hits] = ~np.asarray(difficult, bool)[nearest[hits]]
    is_first = np.isin(np.arange(len(order)), first)
    return score[order][counts & is_first], score[order][counts & ~is_first]
