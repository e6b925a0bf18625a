"""Found, missed, false and misplaced objects, worked by hand and against VOC's evaluation."""
from multibox.evaluation.mistakes import compare

import numpy as np
import pytest
from chainercv.evaluations import calc_detection_voc_prec_rec
from hypothesis import given
from hypothesis import strategies as st

CAT, DOG = range(2)
HERE = 10, 10, 49, 49  # 40 x 40 pixels, including the last row and column
HALF = 10, 10, 29, 49  # IoU 1/2 with HERE
SIXTH = 10, 10, 49, 16  # IoU 7/40 with HERE
AWAY = 60, 60, 89, 89


def image(detections, objects):
    """Detections as (box, label, score) and objects as (box, label, difficult)."""
    return [np.array([row[0] for row in detections], 'f').reshape(-1, 4),
            np.array([row[1] for row in detections], 'i'),
            np.array([row[2] for row in detections], 'f'),
            np.array([row[0] for row in objects], 'f').reshape(-1, 4),
            np.array([row[1] for row in objects], 'i'),
            np.array([row[2] for row in objects], bool)]


def outcome(*images, min_score=0.3):
    return compare([list(part) for part in zip(*(image(*each) for each in images))], min_score)


def kinds(result):
    """Each match as (kind, class of its object, class of its detection)."""
    return [(match.kind, match.object and match.object[1], match.detection and match.detection[1])
            for matches in result for match in matches]


@pytest.mark.parametrize('detections, objects, expected', [
    ([], [], []),
    ([], [(HERE, CAT, False)], [('missed', CAT, None)]),
    ([(HERE, CAT, .9)], [], [('background', None, CAT)]),
    ([(HERE, CAT, .9)], [(HERE, CAT, False)], [('found', CAT, CAT)]),
    ([(HALF, CAT, .9)], [(HERE, CAT, False)], [('found', CAT, CAT)]),
    ([(HERE, CAT, .2)], [(HERE, CAT, False)], [('missed', CAT, None)]),
    ([(SIXTH, CAT, .9)], [(HERE, CAT, False)], [('missed', CAT, CAT), ('misplaced', CAT, CAT)]),
    ([(SIXTH, DOG, .9)], [(HERE, CAT, False)], [('missed', CAT, DOG), ('class', CAT, DOG)]),
    ([(HERE, CAT, .4), (HERE, CAT, .9)], [(HERE, CAT, False)],
     [('found', CAT, CAT), ('again', CAT, CAT)]),
    # A missed object is told with the detection of its own class.
    ([(HERE, DOG, .9), (SIXTH, CAT, .5)], [(HERE, CAT, False)],
     [('missed', CAT, CAT), ('class', CAT, DOG), ('misplaced', CAT, CAT)]),
    ([(AWAY, CAT, .9)], [(HERE, CAT, False)], [('missed', CAT, None), ('background', None, CAT)]),
], ids=['nothing', 'missed', 'background', 'found', 'just found', 'low score', 'misplaced', 'class',
        'again', 'near both', 'away'])
def test_a_case_worked_by_hand(detections, objects, expected):
    assert kinds(outcome((detections, objects))) == expected


SMALL = 10, 10, 19, 19  # a sixteenth of HERE
CUT = 40, 0, 49, 19  # one half of its 10 x 20 pixels lies in HERE
BARELY = 40, 0, 49, 18  # 9 of its 19 columns lie in HERE


@pytest.mark.parametrize('detection, objects, kind, iou, n_covered', [
    (HERE, [SMALL], 'covers', 1 / 16, 1),
    (HERE, [SMALL, (30, 30, 39, 39), (40, 40, 48, 48)], 'covers', 1 / 16, 3),
    (HERE, [CUT], 'covers', 100 / 1700, 1),
    (HERE, [BARELY], 'background', 0, 0),
    (SMALL, [HERE], 'inside', 1 / 16, 0),
    (CUT, [HERE], 'inside', 100 / 1700, 0),
    (HERE, [(10, 10, 29, 24), (30, 10, 49, 24)], 'misplaced', 300 / 1600, 2),
    (HERE, [AWAY], 'background', 0, 0)],
    ids=['one', 'three', 'half', 'less', 'inside', 'half inside', 'misplaced', 'away'])
@pytest.mark.parametrize('difficult', [False, True], ids=['usual', 'difficult'])
def test_a_false_detection_tells_the_objects_that_it_covers(
        detection, objects, kind, iou, n_covered, difficult):
    result = outcome(([(detection, CAT, .9)], [(box, CAT, difficult) for box in objects]))
    assert not result.found and len(result.missed) == (0 if difficult else len(objects))
    match, = result.false + result.misplaced
    assert (match.kind, len(match.covered)) == (kind, n_covered)
    assert match.iou == pytest.approx(iou) and (match.object is None) == (kind == 'background')


def test_a_detection_that_fits_one_object_covers_no_other():
    result = outcome(([(HERE, CAT, .9)], [(HERE, DOG, False), (SMALL, DOG, False)]))
    assert [(match.kind, match.covered) for match in result.false] == [('class', ())]


@pytest.mark.parametrize('detections', [[], [(HERE, CAT, .9)], [(HERE, CAT, .9), (HERE, CAT, .8)]],
                         ids=['missed', 'found', 'twice'])
def test_a_difficult_object_is_neither_found_nor_missed(detections):
    assert kinds(outcome((detections, [(HERE, CAT, True)]))) == []


def test_a_match_tells_its_image_score_and_overlap():
    result = outcome(([], []), ([(SIXTH, CAT, .9)], [(HERE, CAT, False)]))
    match, = result.misplaced
    assert match.image == 1 and match.iou == pytest.approx(7 / 40)
    np.testing.assert_array_equal(match.object[0], HERE)
    np.testing.assert_array_equal(match.detection[0], SIXTH)
    assert match.detection[2] == pytest.approx(.9)


def test_of_two_detections_the_surer_one_finds():
    result = outcome(([(HALF, CAT, .9), (HERE, CAT, .8)], [(HERE, CAT, False)]))
    assert result.found[0].iou == pytest.approx(.5) and result.false[0].iou == pytest.approx(1)


def test_false_and_misplaced_detections_come_by_falling_score():
    def images(box):
        return [([(box, CAT, score)], [(HERE, CAT, False)]) for score in (.4, .9, .6)]

    for matches in (outcome(*images(AWAY)).false, outcome(*images(SIXTH)).misplaced):
        assert [match.image for match in matches] == [1, 2, 0]


def test_missed_objects_without_anything_near_come_first_then_the_larger():
    result = outcome(([(SIXTH, CAT, .9)], [(HERE, CAT, False)]), ([], [(AWAY, CAT, False)]),
                     ([(SIXTH, DOG, .9)], [(HERE, CAT, False)]))
    assert [match.image for match in result.missed] == [2, 1, 0]


def test_the_stored_detections_are_sorted_out(detections):
    result = compare(detections, min_score=0.3)
    n_object = sum((~difficult).sum() for difficult in detections[5])
    assert len(result.found) + len(result.missed) == n_object
    assert len(result.found) > n_object / 2
    assert len(result.misplaced) > 10 and len(result.false) > 10


BOXES = st.sampled_from([HERE, HALF, SIXTH, AWAY, (12, 8, 51, 45), (10, 10, 49, 29)])
CLASSES = st.integers(0, 1)
IMAGES = st.lists(st.tuples(
    st.lists(st.tuples(BOXES, CLASSES, st.integers(1, 100).map(lambda n: n / 100)), max_size=6,
             unique_by=lambda detection: detection[2]),
    st.lists(st.tuples(BOXES, CLASSES, st.booleans()), max_size=4)), min_size=1, max_size=4)


@given(IMAGES)
def test_the_counts_are_those_of_chainercvs_evaluator(images):
    result = outcome(*images, min_score=0)
    wrong = result.false + result.misplaced
    labels = {row[1] for detections, objects in images for row in (*detections, *objects)}
    with np.errstate(invalid='ignore'):
        precision, recall = calc_detection_voc_prec_rec(*zip(*(image(*each) for each in images))) \
            if labels else ([], [])
    for label in labels:
        n_found = sum(match.object[1] == label for match in result.found)
        n_missed = sum(match.object[1] == label for match in result.missed)
        n_wrong = sum(match.detection[1] == label for match in wrong)
        if n_found + n_wrong:
            assert precision[label][-1] == pytest.approx(n_found / (n_found + n_wrong))
        if recall[label] is not None and len(recall[label]):
            assert recall[label][-1] == pytest.approx(n_found / (n_found + n_missed))
