"""Suppression on a GPU for all classes and images at once, against one box after another."""
from multibox.boxes import Coder, suppress
from multibox.boxes.suppression_gpu import Suppression
from tests.boxes.test_suppression import ODD_BOXES, crowds

import numpy as np
import pytest
from chainer.backends import cuda
from chainercv.utils import bbox_iou
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

few_examples = settings(max_examples=40, suppress_health_check=[
    HealthCheck.function_scoped_fixture])


def one_by_one(bbox, score, nms_thresh, score_thresh, n_candidate=None):
    """Per class, the indices of the boxes that overlap no better box that is kept."""
    kept = []
    for row in score:
        likely = [k for k in range(len(row)) if row[k] >= np.float32(score_thresh)]
        best = sorted(likely, key=lambda k: (-row[k], k))[:n_candidate]
        if nms_thresh is None:
            kept.append(sorted(best))
            continue
        kept.append([])
        for k in sorted(best, key=lambda k: (-row[k], -k)):
            with np.errstate(all='ignore'):
                if not (bbox_iou(bbox[[k]], bbox[kept[-1]]) >= nms_thresh).any():
                    kept[-1].append(k)
    return kept


def on_gpu(xp, bbox, score, *arguments):
    found = suppress(xp.asarray(bbox), xp.asarray(score), *arguments)
    return [cuda.to_cpu(index).tolist() for index in found]


@few_examples
@given(crowd=crowds(), nms_thresh=st.sampled_from([None, 0, .1, 1 / 3, .45, .5, 1]),
       score_thresh=st.sampled_from([0, .25, 1, 2]), n_candidate=st.sampled_from([None, 0, 1, 5]))
def test_boxes_are_kept_as_one_by_one(kernel_xp, crowd, nms_thresh, score_thresh, n_candidate):
    arguments = *crowd, nms_thresh, score_thresh, n_candidate
    assert on_gpu(kernel_xp, *arguments) == one_by_one(*arguments)


@ODD_BOXES
@pytest.mark.parametrize('thresh', [0, .5])
def test_odd_boxes_are_kept_as_one_by_one(kernel_xp, bbox, thresh):
    arguments = np.array(bbox, 'f'), np.array([[.9, .8, .7], [-0., 0, -np.inf]], 'f'), thresh, -1
    assert on_gpu(kernel_xp, *arguments) == one_by_one(*arguments)


def scattered(rng, B, C, K):
    """Boxes of which many overlap, and scores that are all different, for B images."""
    corner = rng.uniform(0, 80, (B, K, 2))
    bbox = np.concatenate((corner, corner + rng.uniform(5, 60, (B, K, 2))), axis=2)
    return bbox, rng.permutation(B * C * K).reshape(B, C, K).astype('f') / (B * C * K)


@pytest.mark.parametrize('dtype', 'fd')
@pytest.mark.parametrize('n_candidate', [None, 2100, 100, 1])
def test_many_boxes_are_kept_as_on_a_cpu(kernel_xp, dtype, n_candidate):
    """The shared memory of a block takes 2048 candidates; the order of more is sorted outside."""
    bbox, score = scattered(np.random.default_rng(0), 1, 2, 2500)
    bbox, score = bbox[0].astype(dtype), score[0]
    score[1] *= .4
    arguments = .45, .01, n_candidate
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr('multibox.engines.kernels.is_on_gpu', lambda array: False)
        expected = [index.tolist() for index in suppress(bbox, score, *arguments)]
    assert on_gpu(kernel_xp, bbox, score, *arguments) == expected


@pytest.mark.parametrize('n_detection', [None, 1000, 40, 7, 1, 0])
def test_an_image_keeps_its_best_detections_in_their_order(kernel_xp, n_detection):
    bbox, score = scattered(np.random.default_rng(1), 3, 4, 60)
    score = (score * 20).astype(int).astype('f') / 20  # many are equal
    score[1] = 0  # an image without detections
    found = Suppression(kernel_xp.asarray(bbox), kernel_xp.asarray(score), .45, .2)
    rows, ends = found.detections(n_detection)
    expected, counts = [], []
    for boxes, scores in zip(bbox, score):
        kept = [(c, k) for c, index in enumerate(one_by_one(boxes, scores, .45, .2)) for k in index]
        best = sorted(range(len(kept)), key=lambda i: (-scores[kept[i]], i))[:n_detection]
        expected += [(*boxes[k].astype('f'), scores[c, k], c)
                     for c, k in (kept[i] for i in sorted(best))]
        counts.append(len(expected))
    assert ends.tolist() == counts
    np.testing.assert_array_equal(cuda.to_cpu(rows), np.array(expected, 'f').reshape(-1, 6))


def test_an_image_with_thousands_of_detections_keeps_the_best(kernel_xp):
    score = np.random.default_rng(0).permutation(2400).reshape(1, 2, 1200).astype('f')
    found = Suppression(kernel_xp.zeros((1, 1200, 4), 'f'), kernel_xp.asarray(score), None, 0)
    rows, ends = found.detections(3)
    assert ends.tolist() == [3] and sorted(cuda.to_cpu(rows)[:, 4]) == [2397, 2398, 2399]


@pytest.mark.parametrize('limits', [None, (20, 30), (5, 3), (400, 200)])
@pytest.mark.parametrize('nms_thresh', [None, .45])
def test_a_batch_is_decoded_as_its_images(kernel_xp, monkeypatch, limits, nms_thresh):
    rng = np.random.RandomState(0)
    default = np.hstack((rng.uniform(0, 80, (90, 2)), rng.uniform(10, 60, (90, 2))))
    mb_locs, mb_confs = (rng.normal(size=(3, 90, n)).astype('f') for n in (4, 6))
    mb_confs[2, :, 0] = 99  # no detections
    mb_locs[0, 5], mb_confs[0, 7, 2] = np.nan, np.nan
    coder, by_image = Coder(default), Coder(default)
    coder.limits = by_image.limits = limits
    with monkeypatch.context() as patch:
        patch.setattr('multibox.engines.kernels.is_on_gpu', lambda array: False)
        expected = by_image.decode_batch(mb_locs, mb_confs, nms_thresh, .1)
    if kernel_xp is not np:
        coder.to_gpu()
    outputs = kernel_xp.asarray(mb_locs), kernel_xp.asarray(mb_confs)
    found = coder.decode_batch(*outputs, nms_thresh, .1)
    alone = [coder.decode(*image, nms_thresh, .1) for image in zip(*outputs)]
    for part, others, images in zip(found, expected, zip(*alone)):
        for array, other, image in zip(part, others, images, strict=True):
            assert type(array) is np.ndarray and array.dtype == other.dtype
            np.testing.assert_array_equal(array, cuda.to_cpu(image))
            compare = np.testing.assert_array_equal if kernel_xp is np else close
            compare(array, other)
    assert len(found[2][0]) and not len(found[2][2])


def close(ours, others):
    np.testing.assert_allclose(ours, others, rtol=1e-4, atol=1e-4)


def test_stored_detections_stay_as_on_a_cpu(kernel_xp, detections):
    """Boxes and scores of a trained network, from a golden file; each image is a class."""
    bbox, score = (list(part) for part in (detections[0][:6], detections[2][:6]))
    n = max(map(len, bbox))
    boxes = np.stack([np.pad(b, ((0, n - len(b)), (0, 0))) for b in bbox])
    scores = np.stack([np.pad(s, (0, n - len(s))) for s in score])[:, None]
    found = Suppression(kernel_xp.asarray(boxes), kernel_xp.asarray(scores), .3, .05)
    for b, s, kept, count in zip(boxes, scores, cuda.to_cpu(found.kept), found.n_kept):
        assert kept[0, :int(count[0])].tolist() == one_by_one(b, s, .3, .05)[0]
