"""The confusion matrix of a detector: which classes it takes for which, and for background."""
from collections import Counter

from multibox.evaluation.mistakes import FOUND, Outcome

import numpy as np


def confusion_matrix(outcome: Outcome, n_class: int) -> np.ndarray:
    """Count objects by true and predicted class.

    Each object counts in one cell of its row: a found object under its own class, a missed object
    under another class if a detection of the kind 'class' belongs to it with an IoU of at least
    0.5, and else under missed. Of several such detections, the surest one counts. Each other wrong
    detection counts in the row of background. The sum of a row is thus the number of objects of a
    class, and the sum of a column the number of detections of a class. Difficult objects count
    nowhere.

    Args:
        outcome: from :func:`multibox.evaluation.mistakes.compare`.
        n_class: C, the number of foreground classes.

    Returns:
        (C + 1, C + 1) int64 array. Rows are true classes and background, columns are predicted
        classes and missed.
    """
    matrix = np.zeros((n_class + 1, n_class + 1), np.int64)
    for (true, predicted), n in _cells(outcome, n_class).items():
        matrix[true, predicted] = n
    return matrix


def part_of_matrix(outcome: Outcome, n_class: int, n_shown: int) -> tuple[np.ndarray, list[int]]:
    """Count as :func:`confusion_matrix` does, for the classes that are confused most often.

    The whole matrix of 10,000 classes would take 800 MB. Memory grows with the matches instead.

    Args:
        outcome, n_class: as for :func:`confusion_matrix`.
        n_shown: S, the number of classes to choose. Of equally often confused classes, those with
            more missed objects and false detections are chosen.

    Returns:
        ``(matrix, labels)``: (S + 2, S + 2) int64 array of the classes, all others, and background
        or missed; and the S labels in their order.
    """
    cells = _cells(outcome, n_class)
    index, counts = np.array([*cells]).reshape(-1, 2), np.array([*cells.values()], np.int64)
    wrong = index[:, 0] != index[:, 1]
    among = wrong & (index < n_class).all(axis=1)
    confused, other = (
        np.bincount(index[chosen].T.ravel(), np.tile(counts[chosen], 2), n_class + 1)[:n_class]
        for chosen in (among, wrong & ~among))
    labels = sorted(np.lexsort((-other, -confused))[:n_shown].tolist())
    place = np.full(n_class + 1, len(labels))
    place[labels], place[n_class] = np.arange(len(labels)), len(labels) + 1
    matrix = np.zeros((len(labels) + 2,) * 2, np.int64)
    np.add.at(matrix, tuple(place[index].T), counts)
    return matrix, labels


def _cells(outcome, n_class):
    """{(row, column): count} of the matrix."""
    cells = Counter((match.object[1], match.detection[1]) for match in outcome.found)
    missed = Counter(map(_key, outcome.missed))
    for match in outcome.false + outcome.misplaced:  # the false ones come by falling score
        true = n_class
        if match.kind == 'class' and match.iou >= FOUND and missed[_key(match)]:
            missed[_key(match)] -= 1
            true = match.object[1]
        cells[true, match.detection[1]] += 1
    for (_, true, _), n in missed.items():
        cells[true, n_class] += n
    return cells


def _key(match):
    return match.image, match.object[1], tuple(match.object[0])
