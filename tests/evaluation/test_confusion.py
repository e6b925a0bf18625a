"""The confusion matrix: cases worked by hand, and sums of rows and columns."""
import tracemalloc

from multibox.evaluation.confusion import confusion_matrix, part_of_matrix
from multibox.evaluation.mistakes import Match, Outcome
from tests.evaluation.test_mistakes import AWAY, CAT, DOG, HALF, HERE, IMAGES, SIXTH, outcome

import numpy as np
import pytest
from hypothesis import given


@pytest.mark.parametrize('detections, objects, expected', [
    ([], [], [[0, 0, 0], [0, 0, 0], [0, 0, 0]]),
    ([(HERE, CAT, .9)], [(HERE, CAT, False)], [[1, 0, 0], [0, 0, 0], [0, 0, 0]]),
    ([(HERE, DOG, .9)], [(HERE, CAT, False)], [[0, 1, 0], [0, 0, 0], [0, 0, 0]]),
    ([(SIXTH, DOG, .9)], [(HERE, CAT, False)], [[0, 0, 1], [0, 0, 0], [0, 1, 0]]),
    ([(SIXTH, CAT, .9)], [(HERE, CAT, False)], [[0, 0, 1], [0, 0, 0], [1, 0, 0]]),
    ([(AWAY, DOG, .9)], [(HERE, CAT, False)], [[0, 0, 1], [0, 0, 0], [0, 1, 0]]),
    ([(HERE, CAT, .9), (HERE, CAT, .8)], [(HERE, CAT, False)], [[1, 0, 0], [0, 0, 0], [1, 0, 0]]),
    ([(HERE, DOG, .9), (HERE, CAT, .8)], [(HERE, CAT, False)], [[1, 0, 0], [0, 0, 0], [0, 1, 0]]),
    ([(HERE, DOG, .9), (HALF, DOG, .8)], [(HERE, CAT, False)], [[0, 1, 0], [0, 0, 0], [0, 1, 0]]),
    ([(HERE, DOG, .9), (HERE, DOG, .8)], [(HERE, CAT, False)] * 2,
     [[0, 2, 0], [0, 0, 0], [0, 0, 0]]),
    ([(HERE, CAT, .9)], [(HERE, CAT, True)], [[0, 0, 0], [0, 0, 0], [0, 0, 0]]),
    ([(HERE, DOG, .9)], [(HERE, CAT, True)], [[0, 0, 0], [0, 0, 0], [0, 1, 0]]),
    ([(HERE, CAT, .9)], [(HERE, DOG, False), (SIXTH, CAT, False)],
     [[0, 0, 1], [1, 0, 0], [0, 0, 0]]),
], ids=['nothing', 'found', 'confused', 'confused far off', 'misplaced', 'away', 'twice',
        'found and confused', 'confused twice', 'two alike', 'difficult', 'difficult confused',
        'confused beside its own class'])
def test_a_case_worked_by_hand(detections, objects, expected):
    matrix = confusion_matrix(outcome((detections, objects)), 2)
    np.testing.assert_array_equal(matrix, expected)


@given(IMAGES)
def test_rows_add_up_to_objects_and_columns_to_detections(images):
    result = outcome(*images, min_score=0)
    matrix = confusion_matrix(result, 2)
    wrong = result.false + result.misplaced
    for label in CAT, DOG:
        assert matrix[label].sum() == sum(
            match.object[1] == label for match in result.found + result.missed)
        assert matrix[:, label].sum() == sum(
            match.detection[1] == label for match in result.found + wrong)
        assert matrix[label, label] == sum(match.object[1] == label for match in result.found)
    assert matrix[2, 2] == 0


def outcome_of(cells):
    """Found objects, counted by their true and predicted classes; 5 means missed or background."""
    result = Outcome([], [], [], [])
    for i, ((true, predicted), n) in enumerate(cells.items()):
        for j in range(n):
            object, detection = ((HERE, true), (HERE, predicted, .5))
            if true == predicted:
                result.found.append(Match(i, 'found', object, detection, 1))
            if true != predicted and true != 5:
                result.missed.append(Match((i, j), 'missed', object, None, 0))
            if true != predicted and predicted != 5:
                result.false.append(Match((i, j), 'class', object, detection, 1))
    return result


def test_the_most_confused_classes_are_chosen_in_their_order():
    cells = {(n, n): 9 for n in range(5)} | {(4, 1): 2, (5, 0): 7, (2, 5): 8}
    for n, expected in (2, [1, 4]), (3, [1, 2, 4]), (9, [0, 1, 2, 3, 4]):
        assert part_of_matrix(outcome_of(cells), 5, n)[1] == expected


def test_the_other_classes_are_joined():
    cells = {(true, predicted): 5 * true + predicted + 1 for true in range(5)
             for predicted in range(6)} | {(5, predicted): 3 for predicted in range(5)}
    whole = confusion_matrix(outcome_of(cells), 5)
    part, (one, two) = part_of_matrix(outcome_of(cells), 5, 2)
    others = [n for n in range(5) if n not in (one, two)]
    np.testing.assert_array_equal(part, [
        [whole[np.ix_(rows, columns)].sum() for columns in ([one], [two], others, [5])]
        for rows in ([one], [two], others, [5])])


def test_memory_grows_with_the_matches_and_not_with_the_classes():
    tracemalloc.start()
    matrix, labels = part_of_matrix(outcome_of({(0, 1): 2}), 20_000, 20)
    assert tracemalloc.get_traced_memory()[1] < 1e7  # the whole matrix has 3.2 GB
    tracemalloc.stop()
    assert matrix.sum() == 2 and {0, 1} <= set(labels)
