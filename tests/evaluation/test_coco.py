"""COCO's score against values worked by hand and against ChainerCV's evaluator."""
import tracemalloc

from multibox.evaluation import coco_score

import numpy as np
import pytest
from chainercv.evaluations import eval_detection_coco

NAMES = 'cat', 'dog'
CAT, DOG = range(2)
WIDE = 10, 10, 50, 90  # 40 x 80 pixels, which COCO calls medium
SMALL = 60, 60, 80, 80


def part(width):
    """The left ``width`` pixels of WIDE."""
    return 10, 10, 50, 10 + width


def score(*images):
    parts = zip(*([np.array([row[0] for row in rows], 'f').reshape(-1, 4) if column == 0 else
                   np.array([row[column] for row in rows], dtype)
                   for rows, last in zip(image, ('f', bool))
                   for column, dtype in ((0, 'f'), (1, 'i'), (2, last))] for image in images))
    return coco_score([list(each) for each in parts], NAMES)


def test_a_perfect_detection_scores_one():
    result = score(([(WIDE, CAT, .9)], [(WIDE, CAT, False)]))
    for name in 'map', 'map_50', 'map_75', 'map_medium', 'ar_1', 'ar_10', 'ar_100':
        assert result[name] == pytest.approx(1), name
    assert result['ap'] == {'cat': pytest.approx(1), 'dog': None}


@pytest.mark.parametrize('width, n_iou', [(80, 10), (62, 6), (60, 6), (58, 5), (41, 1), (39, 0)])
def test_ap_is_the_share_of_ious_that_a_box_reaches(width, n_iou):
    result = score(([(part(width), CAT, .9)], [(WIDE, CAT, False)]))  # IoU is width / 80
    assert result['map'] == pytest.approx(n_iou / 10)
    assert result['map_50'] == pytest.approx(int(width >= 40))
    assert result['map_75'] == pytest.approx(int(width >= 60))


def test_recall_is_that_of_the_surest_detections_of_an_image():
    boxes = [(0, 100 * n, 50, 100 * n + 50) for n in range(12)]
    result = score(([(box, CAT, 1 - n / 100) for n, box in enumerate(boxes)],
                    [(box, CAT, False) for box in boxes]))
    assert result['ar_1'] == pytest.approx(1 / 12) and result['ar_10'] == pytest.approx(10 / 12)
    assert result['ar_100'] == pytest.approx(1)


def test_objects_count_by_their_size():
    result = score(([(SMALL, CAT, .9)], [(SMALL, CAT, False), (WIDE, CAT, False)]))
    assert result['map_small'] == pytest.approx(1) and result['map_medium'] == 0
    assert result['map_large'] is None
    assert result['map'] == pytest.approx(51 / 101)  # precision 1 at recalls 0, 0.01, ..., 0.5


@pytest.mark.parametrize('found', [[], [(WIDE, CAT, .9)], [(WIDE, CAT, .9), (WIDE, CAT, .8)]],
                         ids=['missed', 'found', 'twice'])
def test_a_difficult_object_counts_neither_way(found):
    result = score(([(SMALL, CAT, .5), *found], [(SMALL, CAT, False), (WIDE, CAT, True)]))
    assert result['map'] == pytest.approx(1)


def test_nothing_is_printed(capfd):
    score(([(WIDE, CAT, .9)], [(WIDE, CAT, False)]))
    assert capfd.readouterr() == ('', '')


def test_without_objects_there_is_no_score():
    result = score(([(WIDE, CAT, .9)], []), ([], []))
    assert result['map'] is None and result['ap'] == {'cat': None, 'dog': None}


def random_image(rng):
    n = rng.randint(0, 6)
    corner, size = rng.uniform(0, 200, (n, 2)), 10 ** rng.uniform(1.2, 2.2, (n, 1))
    truth = np.hstack((corner, corner + size * rng.uniform(.7, 1, (n, 2)))).astype('f')
    label = rng.randint(0, 2, n).astype('i')
    found = rng.randint(0, n, 8) if n else np.zeros(0, int)
    moved = truth[found] + (size[found] * rng.normal(scale=.1, size=(len(found), 4))).astype('f')
    return (moved, label[found], rng.uniform(size=len(found)).astype('f'), truth, label,
            rng.uniform(size=n) < .2)


@pytest.mark.parametrize('seed', [None, 0, 1, 2], ids='seed {}'.format)
def test_scores_are_those_of_chainercvs_evaluator(seed, detections):
    images = detections
    if seed is not None:
        rng = np.random.RandomState(seed)
        images = [list(each) for each in zip(*(random_image(rng) for _ in range(30)))]
    areas = [np.prod(bbox[:, 2:] - bbox[:, :2], axis=1) for bbox in images[3]]
    theirs = eval_detection_coco(*images[:5], areas, images[5])
    ours = coco_score(images, range(len(theirs['existent_labels'])))
    for name, key in (
            ('map', 'map/iou=0.50:0.95/area=all/max_dets=100'),
            ('map_50', 'map/iou=0.50/area=all/max_dets=100'),
            ('map_75', 'map/iou=0.75/area=all/max_dets=100'),
            ('map_small', 'map/iou=0.50:0.95/area=small/max_dets=100'),
            ('map_medium', 'map/iou=0.50:0.95/area=medium/max_dets=100'),
            ('map_large', 'map/iou=0.50:0.95/area=large/max_dets=100'),
            ('ar_1', 'mar/iou=0.50:0.95/area=all/max_dets=1'),
            ('ar_10', 'mar/iou=0.50:0.95/area=all/max_dets=10'),
            ('ar_100', 'mar/iou=0.50:0.95/area=all/max_dets=100')):
        assert ours[name] == pytest.approx(theirs[key]) and 0 < ours[name] < 1, name
    np.testing.assert_allclose(list(ours['ap'].values()),
                               theirs['ap/iou=0.50:0.95/area=all/max_dets=100'], rtol=1e-6)


def test_classes_without_an_object_take_no_memory():
    names = tuple(map(str, range(2000)))
    box, label = np.array([WIDE], 'f'), np.array([7], 'i')
    tracemalloc.start()
    result = coco_score([[box], [label], [np.array([.9], 'f')], [box], [label],
                         [np.zeros(1, bool)]], names)
    assert tracemalloc.get_traced_memory()[1] < 2e7  # all classes take 390 MB
    tracemalloc.stop()
    assert result['map'] == result['ap']['7'] == pytest.approx(1) and result['ap']['8'] is None
