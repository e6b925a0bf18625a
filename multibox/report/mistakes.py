"""What a detector got wrong: objects missed, detections of nothing, boxes badly placed."""
from typing import NamedTuple

import numpy as np
from chainercv.utils import bbox_iou

FOUND = 0.5  # IoU from which VOC counts an object as found
NEAR = 0.1  # IoU from which Hoiem et al., ECCV 2012, call a detection misplaced, not of background


class Match(NamedTuple):
    """A detection and the object it belongs to, or one of the two alone.

    Attributes:
        image: int, number of the image.
        kind: 'found'; 'missed'; 'background', 'class' (another is there) or 'again' (the object
            is found already), which are false; 'misplaced'.
        object: ``(bbox, label)`` with (4,) float32 and int, or None.
        detection: ``(bbox, label, score)``, or None.
        iou: float, overlap of the two; 0 where there is one alone.
    """
    image: int
    kind: str
    object: tuple | None
    detection: tuple | None
    iou: float


class Outcome(NamedTuple):
    """Four lists of :class:`Match`.

    Attributes:
        found: objects found, in the order of the images.
        missed: objects not found; those nothing of their class is near come first, and among
            equals the larger.
        false: detections of background, of the wrong class, or of an object found before, by
            falling score.
        misplaced: detections of the right class that overlap an object by an IoU of 0.1 to 0.5, by
            falling score.
    """
    found: list
    missed: list
    false: list
    misplaced: list


def compare(images, min_score):
    """Compare detections with the objects, by the rule that VOC's average precision counts by.

    Of each class the surest detection comes first; it belongs to the object of that class it
    overlaps most. A difficult object is neither found nor missed, and its detection no mistake.
    An object with a misplaced detection is missed.

    Args:
        images: from :func:`multibox.training.evaluation.detect`.
        min_score: detections below are left out.

    Returns:
        :class:`Outcome`.
    """
    found, missed, false, misplaced = [], [], [], []
    into = {'found': found, 'missed': missed, 'misplaced': misplaced}
    for i, image in enumerate(zip(*images)):
        for match in _matches(i, *image, min_score):
            into.get(match.kind, false).append(match)
    missed.sort(key=lambda match: (_is_near(match), -_area(match.object[0])))
    for matches in false, misplaced:
        matches.sort(key=lambda match: -match.detection[2])
    return Outcome(found, missed, false, misplaced)


def _matches(i, bbox, label, score, true_bbox, true_label, difficult, min_score):
    order = np.argsort(-score, kind='stable')
    order = order[score[order] >= min_score]
    detections = [(bbox[d], int(label[d]), float(score[d])) for d in order]
    objects = [(box, int(n)) for box, n in zip(true_bbox, true_label)]
    edge = (0, 1), (0, 1)  # one more of zeros, so that there is always a largest
    iou = np.pad(_voc_iou(bbox[order], true_bbox), edge)  # (D + 1, R + 1)
    same = iou * np.pad(label[order][:, None] == true_label, edge)
    taken = np.zeros(len(objects), bool)
    for d, detection in enumerate(detections):
        of = same if same[d].max() >= NEAR else iou
        r = of[d].argmax()
        if of[d, r] < NEAR:
            yield Match(i, 'background', None, detection, 0.0)
        elif of is iou:
            yield Match(i, 'class', objects[r], detection, iou[d, r])
        elif same[d, r] < FOUND:
            yield Match(i, 'misplaced', objects[r], detection, same[d, r])
        else:
            if not difficult[r]:
                yield Match(i, 'again' if taken[r] else 'found', objects[r], detection, same[d, r])
            taken[r] = True
    for r in np.flatnonzero(~taken & ~difficult):
        of = same if same[:, r].max() >= NEAR else iou
        d = of[:, r].argmax()
        near = of[d, r] >= NEAR
        yield Match(i, 'missed', objects[r], detections[d] if near else None,
                    of[d, r] if near else 0.0)


def _voc_iou(a, b):
    """(D, R) IoU of boxes whose last row and column belong to them, as in VOC's evaluation."""
    last = np.array([0, 0, 1, 1], np.float32)
    return bbox_iou(a + last, b + last)


def _is_near(match):
    return match.detection is not None and match.detection[1] == match.object[1]


def _area(bbox):
    return float(np.prod(bbox[2:] - bbox[:2]))
