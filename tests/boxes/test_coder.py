"""Ignored regions: neither objects nor background for the default boxes that match them."""
from multibox.boxes import Coder
from multibox.boxes.coder import IGNORED
from multibox.boxes.geometry import to_corners
from multibox.boxes.matching import RULES
from multibox.networks import make_detector

import numpy as np
import pytest
from chainer.backends import cuda
from chainercv.links import SSD300
from chainercv.utils import bbox_iou

# Centre and size of five default boxes; the last two are near each other.
DEFAULT = [(20, 20, 20, 20), (20, 60, 20, 20), (60, 20, 20, 20), (60, 60, 20, 20), (60, 62, 20, 20)]
LEFT, RIGHT, LOW = (10, 10, 30, 30), (10, 50, 30, 70), (50, 51, 70, 71)


@pytest.fixture
def encode(xp):
    """Function from boxes and labels to the offsets and labels of the default boxes."""
    def encode(bbox, label, **kwargs):
        coder = Coder(xp.array(DEFAULT, 'f'))
        targets = coder.encode(xp.array(bbox, 'f').reshape(-1, 4), xp.array(label, 'i'), **kwargs)
        return [cuda.to_cpu(array) for array in targets]
    return encode


@pytest.mark.parametrize('rule', RULES)
def test_boxes_that_match_an_ignored_region_are_ignored(encode, rule):
    mb_loc, mb_label = encode([LEFT, LOW], [0, IGNORED], match=RULES[rule])
    assert mb_label.tolist() == [1, 0, 0, -1, -1]
    assert not mb_loc[1:].any()


@pytest.mark.parametrize('rule', RULES)
def test_a_box_that_matches_an_object_as_well_keeps_the_object(encode, rule):
    for order in ([2, IGNORED], [IGNORED, 2]):
        assert encode([LOW, LOW], order, match=RULES[rule])[1].tolist() == [0, 0, 0, 3, 3]


def test_an_object_on_the_same_box_wins_even_with_a_smaller_overlap(encode):
    bbox = [(12, 10, 32, 32), LEFT]
    assert encode(bbox, [4, IGNORED])[1].tolist() == [5, 0, 0, 0, 0]


def test_ignored_regions_alone_leave_background_elsewhere(encode):
    mb_loc, mb_label = encode([LEFT, RIGHT], [IGNORED, IGNORED])
    assert mb_label.tolist() == [-1, -1, 0, 0, 0]
    assert not mb_loc.any()


def test_several_ignored_regions_and_objects_do_not_mix(encode):
    label = encode([RIGHT, LEFT, LOW], [IGNORED, 1, IGNORED])[1]
    assert label.tolist() == [2, -1, 0, -1, -1]


def test_objects_are_encoded_as_without_ignored_regions():
    rng = np.random.default_rng(0)
    coder = Coder(np.concatenate([rng.uniform(10, 90, (200, 2)), rng.uniform(10, 40, (200, 2))],
                                 axis=1).astype('f'))
    for _ in range(20):
        corner = rng.uniform(0, 70, (6, 2))
        bbox = np.concatenate([corner, corner + rng.uniform(10, 30, (6, 2))], axis=1).astype('f')
        label = rng.integers(-1, 3, 6).astype('i')
        real = label != IGNORED
        mb_loc, mb_label = coder.encode(bbox, label)
        loc, expected = coder.encode(bbox[real], label[real])
        np.testing.assert_array_equal(mb_loc, loc)
        np.testing.assert_array_equal(mb_label[mb_label >= 0], expected[mb_label >= 0])
        assert (expected[mb_label == -1] == 0).all()
        near = coder.encode(bbox[~real], np.zeros((~real).sum(), 'i'))[1] > 0
        np.testing.assert_array_equal(mb_label == -1, near & (expected == 0))


@pytest.fixture(scope='module')
def coders():
    """ChainerCV's coder of SSD300, and that of this package."""
    theirs = SSD300(n_fg_class=20).coder
    theirs.to_cpu()
    return theirs, make_detector('ssd300', 20).coder


@pytest.mark.parametrize('smallest, largest', [(.5, 3), (3, 8), (8, 16), (16, 300)])
def test_small_objects_get_the_boxes_of_chainercv(coders, smallest, largest):
    rng = np.random.RandomState(0)
    for _ in range(30):
        corner = rng.uniform(0, 300, (rng.randint(1, 6), 2))
        size = rng.uniform(smallest, largest, corner.shape)
        bbox = np.hstack((corner, corner + size)).astype('f')
        label = rng.randint(0, 20, len(bbox)).astype('i')
        (theirs, their_label), (ours, our_label) = (coder.encode(bbox, label) for coder in coders)
        np.testing.assert_array_equal(our_label, their_label)
        positive = our_label > 0
        np.testing.assert_allclose(ours[positive], theirs[positive], rtol=1e-4, atol=1e-4)


def slow_limits(found, scores, n_candidate, n_detection):
    """Suppress among the best candidates of each class, then keep the best of all classes."""
    rows = []
    for c, score in enumerate(scores):
        best = sorted(range(len(score)), key=lambda k: (-score[k], k))[:n_candidate]
        kept = []
        for k in best:
            if all(bbox_iou(found[[k]], found[[other]])[0, 0] < .45 for other in kept):
                kept.append(k)
        rows += [(c, k) for k in kept]
    best = sorted(rows, key=lambda row: -scores[row[0]][row[1]])[:n_detection]
    return [row for row in rows if row in best]


@pytest.mark.parametrize('limits', [(400, 200), (20, 30), (5, 3), (1, 1)])
def test_limits_keep_the_best_candidates_and_detections(xp, limits):
    rng = np.random.RandomState(0)
    corner = rng.uniform(0, 80, (60, 2))
    default = np.hstack((corner, rng.uniform(10, 60, (60, 2)))).astype('f')
    coder, logits = Coder(xp.asarray(default)), rng.normal(size=(60, 4), scale=2).astype('f')
    coder.limits = limits
    bbox, label, score = map(cuda.to_cpu, coder.decode(
        xp.zeros((60, 4), 'f'), xp.asarray(logits), .45, 0.))
    exp = np.exp(logits)
    scores = (exp / exp.sum(axis=1, keepdims=True)).T[1:]
    corners = to_corners(default)
    expected = slow_limits(corners, scores, *limits)
    assert label.tolist() == [c for c, _ in expected]
    np.testing.assert_allclose(bbox, corners[[k for _, k in expected]], rtol=1e-5)
    np.testing.assert_allclose(score, [scores[row] for row in expected], rtol=1e-5)


def test_only_the_preset_of_evaluation_has_limits():
    model = make_detector('slim300', 2)
    assert model.coder.limits is None
    model.use_preset('evaluate')
    assert model.coder.limits == (400, 200)
    model.use_preset('visualize')
    assert model.coder.limits is None
