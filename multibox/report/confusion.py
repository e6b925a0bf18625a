"""The confusion matrix in the report."""
from multibox.evaluation.confusion import confusion_matrix, part_of_matrix
from multibox.evaluation.mistakes import Outcome

MAX_CLASSES = 20  # rows of a table that a screen shows; 80 classes would be unreadable
DARK = 0.5  # share of a row from which on the text of a cell is white


def confusion_table(outcome: Outcome, label_names: tuple) -> dict:
    """Tabulate true and predicted classes.

    Args:
        outcome: from :func:`multibox.evaluation.mistakes.compare`, on the test set.
        label_names: the foreground classes, in the order of their numbers.

    Returns:
        dict with ``header`` and ``names``, the names of the columns and rows; ``rows``: lists of
        ``(count, share of the row, kind)``, whose kind is a class of page.css; ``n_class`` and
        ``n_shown``: the numbers of classes, all and shown.
    """
    names = list(label_names)
    if len(names) > MAX_CLASSES:
        matrix, labels = part_of_matrix(outcome, len(names), MAX_CLASSES)
        names = [*(label_names[n] for n in labels), 'other classes']
    else:
        matrix = confusion_matrix(outcome, len(names))
    rows = [[(n, n / max(sum(row), 1), _kind(n, n / max(sum(row), 1), r == c))
             for c, n in enumerate(row)] for r, row in enumerate(matrix.tolist())]
    rows[-1].pop()  # background that is missed is no mistake, and cannot be counted
    return {'header': [*names, 'missed'], 'names': [*names, 'background'], 'rows': rows,
            'n_class': len(label_names), 'n_shown': min(len(label_names), MAX_CLASSES)}


def _kind(n, share, right):
    return '' if not n else ('right' if right else 'wrong') + ' dark' * (share > DARK)
