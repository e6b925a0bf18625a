"""The mistakes of a detector: missed objects, false detections, badly placed detections."""
from itertools import compress
from typing import NamedTuple

import numpy as np
from chainercv.utils import bbox_iou

FOUND = 0.5  # least IoU of a detection with the object that it finds, as in VOC's evaluation
NEAR = 0.1  # least IoU of a misplaced detection, as in Hoiem et al., ECCV 2012
COVERED = 0.5  # least share of the smaller of two boxes inside the larger one that contains it


class Match(NamedTuple):
    """A detection and the object that it is compared with, or either of them alone.

    Attributes:
        image: int, index of the image.
        kind: 'found', 'missed', 'misplaced', or a kind of false detection: 'class' (the object has
            another class), 'again' (the object is already found), 'covers' (the detection contains
            objects but is far larger), 'inside' (it is a small part of an object) or 'background'
            (none of these).
        object: ``(bbox, label)``, (4,) float32 and int, or None; see docs/conventions.md.
        detection: ``(bbox, label, score)``, (4,) float32, int and float, or None.
        iou: float, IoU of the object and the detection; 0 if either is None.
        covered: the objects, each ``(bbox, label)``, of which at least half of the area lies in the
            detection; empty if the detection has an IoU of at least 0.5 with any object.
    """
    image: int
    kind: str
    object: tuple | None
    detection: tuple | None
    iou: float
    covered: tuple = ()


class Outcome(NamedTuple):
    """The matches of all images, sorted into four lists of :class:`Match`.

    Attributes:
        found: objects that are found, in the order of the images.
        missed: objects that are not found. Objects without a nearby detection of their class come
            first, and larger objects come before smaller ones.
        false: detections of the wrong class, of an object that is already found, or with an IoU
            below 0.1 with every object, by falling score.
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
    # A detection that fits an object of another class counts for it, if it fits none of its own.
    near_own = ((same.max(axis=1) >= FOUND)
                | (same.max(axis=1) >= NEAR) & (iou.max(axis=1) < FOUND))
    overlap = np.where(near_own[:, None], same, iou)
    best, nearest = overlap.max(axis=1).tolist(), overlap.argmax(axis=1).tolist()
    inner, outer = _containment(bbox[order], true_bbox, iou[:-1, :-1])
    inner[iou[:-1].max(axis=1) >= FOUND] = False  # such a detection fits an object
    covers = inner.any(axis=1)
    taken = np.zeros(len(objects), bool)
    for d, detection in enumerate(detections):
        r, covered = nearest[d], tuple(compress(objects, inner[d])) if covers[d] else ()
        if best[d] < NEAR:
            kind, around = ('covers', inner[d]) if covered else ('inside', outer[d])
            if around.any():
                r = np.where(around, iou[d, :-1], -1).argmax()
                yield Match(i, kind, objects[r], detection, iou[d, r], covered)
            else:
                yield Match(i, 'background', None, detection, 0.0)
        elif not near_own[d]:
            yield Match(i, 'class', objects[r], detection, best[d], covered)
        elif best[d] < FOUND:
            yield Match(i, 'misplaced', objects[r], detection, best[d], covered)
        else:
            if not difficult[r]:
                yield Match(i, 'again' if taken[r] else 'found', objects[r], detection, best[d])
            taken[r] = True
    for r in np.flatnonzero(~taken & ~difficult):
        overlap = same if same[:, r].max() >= NEAR else iou
        d = overlap[:, r].argmax()
        near = overlap[d, r] >= NEAR
        yield Match(i, 'missed', objects[r], detections[d] if near else None,
                    overlap[d, r] if near else 0.0)


def voc_iou(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """(D, R) IoU of (D, 4) and (R, 4) boxes that include their last row and column, as in VOC."""
    last = np.array([0, 0, 1, 1], np.float32)
    return bbox_iou(a + last, b + last)


def _containment(a, b, iou):
    """Two (D, R) bool arrays: half of b lies in the larger a, and half of a in the larger b."""
    area_a, area_b = (np.prod(box[:, 2:] - box[:, :2] + 1, axis=1) for box in (a, b))
    area_a = area_a[:, None]
    intersection = iou * (area_a + area_b) / (1 + iou)
    contained = (iou > 0) & (intersection >= COVERED * np.minimum(area_a, area_b))
    return contained & (area_b <= area_a), contained & (area_b > area_a)


def _by_nearness_and_size(match):
    bbox, label = match.object
    is_near = match.detection is not None and match.detection[1] == label
    return is_near, -float(np.prod(bbox[2:] - bbox[:2]))


def _by_score(match):
    return -match.detection[2]
