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


def most_confused(matrix: np.ndarray, n_class: int) -> list[int]:
    """Choose the classes that are confused most often with other classes, in their order.

    Of equally often confused classes, those with more missed objects and false detections are
    chosen.

    Args:
        matrix: (C + 1, C + 1) int array from :func:`confusion_matrix`.
        n_class: the number of classes to choose.

    Returns:
        Labels, all of them if there are no more than ``n_class``.
    """
    wrong = matrix - np.diag(matrix.diagonal())
    among = wrong[:-1, :-1]
    confused = among.sum(axis=0) + among.sum(axis=1)
    other = wrong[-1, :-1] + wrong[:-1, -1]
    return sorted(np.lexsort((-other, -confused))[:n_class].tolist())


def fold(matrix: np.ndarray, labels: list[int]) -> np.ndarray:
    """Join all classes but some into one, so that the sums stay.

    Args:
        matrix: (C + 1, C + 1) int array from :func:`confusion_matrix`.
        labels: L classes to keep.

    Returns:
        (L + 2, L + 2) int array: the classes, all others, and background or missed.
    """
    n_class = len(matrix) - 1
    place = np.full(n_class + 1, len(labels))
    place[labels] = np.arange(len(labels))
    place[n_class] = len(labels) + 1
    folded = np.zeros((len(labels) + 2,) * 2, matrix.dtype)
    np.add.at(folded, (place[:, None], place), matrix)
    return folded


def _key(match):
    return match.image, match.object[1], tuple(match.object[0])
