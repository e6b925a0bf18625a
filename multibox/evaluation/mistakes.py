"""The mistakes of a detector: missed objects, false detections, badly placed detections."""
from typing import NamedTuple

import numpy as np
from chainercv.utils import bbox_iou

FOUND = 0.5  # least IoU of a detection with the object that it finds, as in VOC's evaluation
NEAR = 0.1  # least IoU of a misplaced detection, as in Hoiem et al., ECCV 2012


class Match(NamedTuple):
    """A detection and the object that it is compared with, or either of them alone.

    Attributes:
        image: int, index of the image.
        kind: 'found', 'missed', 'misplaced', or a kind of false detection: 'background' (no object
            is near), 'class' (the object has another class) or 'again' (the object is already
            found).
        object: ``(bbox, label)``, (4,) float32 and int, or None; see docs/conventions.md.
        detection: ``(bbox, label, score)``, (4,) float32, int and float, or None.
        iou: float, IoU of the object and the detection; 0 if either is None.
    """
    image: int
    kind: str
    object: tuple | None
    detection: tuple | None
    iou: float


class Outcome(NamedTuple):
    """The matches of all images, sorted into four lists of :class:`Match`.

    Attributes:
        found: objects that are found, in the order of the images.
        missed: objects that are not found. Objects without a nearby detection of their class come
            first, and larger objects come before smaller ones.
        false: detections of background, of the wrong class, or of an object that is already
            found, by falling score.
        misplaced: detections of the right class with an IoU of 0.1 to 0.5, by falling score.
    """
    found: list[Match]
    missed: list[Match]
    false: list[Match]
    misplaced: list[Match]


def compare(images: list[list], min_score: float) -> Outcome:
    """Match detections with objects by the rule of VOC's average precision.

    Detections are taken by falling score. A detection belongs to the object of its class with the
    highest IoU. A difficult object is neither found nor missed, and its detections are no mistakes.
    An object with only a misplaced detection is missed.

    Args:
        images: from :func:`multibox.evaluation.detect`.
        min_score: detections with a lower score are left out.

    Returns:
        :class:`Outcome`.
    """
    outcome = Outcome([], [], [], [])
    for i, image in enumerate(zip(*images)):
        for match in _matches(i, image, min_score):
            kind = match.kind if match.kind in Outcome._fields else 'false'
            getattr(outcome, kind).append(match)
    outcome.missed.sort(key=_by_nearness_and_size)
    for matches in outcome.false, outcome.misplaced:
        matches.sort(key=_by_score)
    return outcome


def _matches(i, image, min_score):
    bbox, label, score, true_bbox, true_label, difficult = image
    order = np.argsort(-score, kind='stable')
    order = order[score[order] >= min_score]
    detections = [(bbox[d], int(label[d]), float(score[d])) for d in order]
    objects = [(box, int(n)) for box, n in zip(true_bbox, true_label)]
    edge = (0, 1), (0, 1)  # a row and a column of zeros, because an empty array has no maximum
    iou = np.pad(voc_iou(bbox[order], true_bbox), edge)  # (D + 1, R + 1)
    same = iou * np.pad(label[order][:, None] == true_label, edge)
    taken = np.zeros(len(objects), bool)
    for d, detection in enumerate(detections):
        overlap = same if same[d].max() >= NEAR else iou
        r = overlap[d].argmax()
        if overlap[d, r] < NEAR:
            yield Match(i, 'background', None, detection, 0.0)
        elif overlap is iou:
            yield Match(i, 'class', objects[r], detection, iou[d, r])
        elif same[d, r] < FOUND:
            yield Match(i, 'misplaced', objects[r], detection, same[d, r])
        else:
            if not difficult[r]:
                yield Match(i, 'again' if taken[r] else 'found', objects[r], detection, same[d, r])
            taken[r] = True
    for r in np.flatnonzero(~taken & ~difficult):
        overlap = same if same[:, r].max() >= NEAR else iou
        d = overlap[:, r].argmax()
        near = overlap[d, r] >= NEAR
        yield Match(i, 'missed', objects[r], detections[d] if near else None,
                    overlap[d, r] if near else 0.0)


def voc_iou(a, b):
    """(D, R) IoU of boxes that include their last row and column, as in VOC's evaluation."""
    last = np.array([0, 0, 1, 1], np.float32)
    return bbox_iou(a + last, b + last)


def _by_nearness_and_size(match):
    bbox, label = match.object
    is_near = match.detection is not None and match.detection[1] == label
    return is_near, -float(np.prod(bbox[2:] - bbox[:2]))


def _by_score(match):
    return -match.detection[2]
