"""Precision, recall and F1 over the threshold, held to a slow count."""
from multibox.evaluation import threshold_curve
from multibox.evaluation.mistakes import compare
from tests.evaluation.test_mistakes import AWAY, CAT, HALF, HERE, SIXTH, image

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st


def images(*each):
    return [list(part) for part in zip(*(image(*one) for one in each))]


def test_best_threshold_lies_between_the_last_right_and_the_first_wrong_detection():
    curve = threshold_curve(images(([(HERE, CAT, 0.9), (AWAY, CAT, 0.5)], [(HERE, CAT, False)])))
    assert curve.best == np.float32(0.9) / 2 + 0.25


def test_the_last_threshold_is_the_lowest_score():
    curve = threshold_curve(images(([(HERE, CAT, 0.25)], [(HERE, CAT, False)])))
    assert curve.best == 0.25


def test_without_a_right_detection_there_is_no_best_threshold():
    assert threshold_curve(images(([(AWAY, CAT, 0.5)], [(HERE, CAT, False)]))).best is None


def test_without_a_detection_the_curve_is_empty():
    curve = threshold_curve(images(([], [(HERE, CAT, False)])))
    assert len(curve.threshold) == 0 and curve.best is None


@pytest.mark.parametrize('least', [0.05, 0.2, 0.5, 0.8])
def test_counts_of_stored_detections_are_those_of_the_report(detections, least):
    curve = threshold_curve(detections)
    i = np.flatnonzero(curve.threshold >= least)[-1]
    outcome = compare(detections, curve.threshold[i])
    right, wrong = len(outcome.found), len(outcome.false) + len(outcome.misplaced)
    assert curve.precision[i] == right / (right + wrong)
    assert curve.recall[i] == right / (right + len(outcome.missed))


@settings(max_examples=50)
@given(st.lists(st.tuples(
    st.lists(st.tuples(st.sampled_from([HERE, HALF, SIXTH, AWAY]), st.sampled_from([0, 1]),
                       st.sampled_from([0.1, 0.3, 0.5, 0.8])), max_size=6),
    st.lists(st.tuples(st.sampled_from([HERE, AWAY]), st.sampled_from([0, 1]), st.booleans()),
             max_size=3)), min_size=1, max_size=4))
def test_every_point_equals_a_count_at_its_threshold(drawn):
    every = images(*drawn)
    curve = threshold_curve(every)
    for threshold, precision, recall, f1 in zip(*curve):
        outcome = compare(every, threshold)
        right = len(outcome.found)
        wrong = len(outcome.false) + len(outcome.misplaced)
        n_object = right + len(outcome.missed)
        # Without a detection that counts, or without an object, a share of nothing is written as 0.
        assert precision == right / max(right + wrong, 1)
        assert recall == right / max(n_object, 1)
        assert f1 == 2 * right / max(right + wrong + n_object, 1)
