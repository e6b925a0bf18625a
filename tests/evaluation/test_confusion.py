"""The confusion matrix: cases worked by hand, and sums of rows and columns."""
from multibox.evaluation.confusion import confusion_matrix, fold, most_confused
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


def test_the_most_confused_classes_are_chosen_in_their_order():
    matrix = np.zeros((6, 6), int)
    matrix[np.arange(5), np.arange(5)] = 9  # right
    matrix[4, 1] = 2
    matrix[5, 0], matrix[2, 5] = 7, 8  # a false detection and missed objects
    assert most_confused(matrix, 2) == [1, 4]
    assert most_confused(matrix, 3) == [1, 2, 4]
    assert most_confused(matrix, 9) == [0, 1, 2, 3, 4]


def test_the_other_classes_are_joined():
    matrix = np.arange(16).reshape(4, 4)
    np.testing.assert_array_equal(
        fold(matrix, [1]), [[5, 4 + 6, 7], [1 + 9, 0 + 2 + 8 + 10, 3 + 11], [13, 12 + 14, 15]])
