"""The networks, and their coder against ChainerCV's."""
from multibox.boxes import Coder
from multibox.networks import make_detector
from tests.support.networks import forward

import chainer
import numpy as np
import pytest
from chainercv.links.model.ssd import MultiboxCoder


@pytest.fixture(scope='module')
def slim():
    np.random.seed(0)
    return make_detector('slim300', 3)


def test_slim_has_the_shapes_of_ssd300(slim):
    mb_locs, mb_confs = forward(slim)
    assert mb_locs.shape == (2, 8732, 4) and mb_confs.shape == (2, 8732, 4)


def test_slim_is_slim(slim):
    assert sum(parameter.size for parameter in slim.params()) < 1.5e6


@pytest.mark.parametrize('iou_thresh', [.5, .7])
def test_coder_encodes_as_chainercvs(slim, iou_thresh):
    theirs = MultiboxCoder(
        slim.extractor.grids, slim.multibox.aspect_ratios, (8, 16, 32, 64, 100, 300),
        (30, 60, 111, 162, 213, 264, 315), (.1, .2))
    bbox = np.array([[10, 20, 90, 140], [100, 100, 280, 290], [5, 200, 60, 230]], 'f')
    label = np.array([2, 0, 1], 'i')
    gt_loc, gt_label = theirs.encode(bbox, label, iou_thresh)
    mb_loc, mb_label = slim.coder.encode(bbox, label, iou_thresh)
    np.testing.assert_array_equal(mb_label, gt_label)
    np.testing.assert_allclose(mb_loc[mb_label > 0], gt_loc[mb_label > 0], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize('score_thresh', [.3, .6])
def test_coder_decodes_as_chainercvs(slim, score_thresh):
    theirs = MultiboxCoder(
        slim.extractor.grids, slim.multibox.aspect_ratios, (8, 16, 32, 64, 100, 300),
        (30, 60, 111, 162, 213, 264, 315), (.1, .2))
    rng = np.random.RandomState(0)
    mb_loc = rng.normal(size=(8732, 4)).astype('f')
    mb_conf = rng.normal(size=(8732, 4), scale=2).astype('f')
    expected = theirs.decode(mb_loc, mb_conf, .45, score_thresh)
    for ours, chainercvs in zip(slim.coder.decode(mb_loc, mb_conf, .45, score_thresh), expected):
        assert ours.dtype == chainercvs.dtype
        np.testing.assert_array_equal(ours, chainercvs)


def test_a_score_at_the_threshold_counts_and_no_suppression_keeps_all():
    coder = Coder(np.array([[150., 150, 100, 100]] * 2))
    mb_conf = np.zeros((2, 4), 'f')  # every class has a probability of exactly 1/4
    kept = coder.decode(np.zeros((2, 4), 'f'), mb_conf, nms_thresh=None, score_thresh=.25)
    assert kept[1].tolist() == [0, 0, 1, 1, 2, 2]


def test_decoding_large_logits_stays_finite():
    coder = Coder(np.array([[150., 150, 100, 100]]))
    bbox, label, score = coder.decode(np.zeros((1, 4), 'f'), np.array([[0, 1e4, -1e4]], 'f'))
    assert label.tolist() == [0] and score.tolist() == [1]
    np.testing.assert_allclose(bbox, [[100, 100, 200, 200]])


def box_sizes(model):
    """The sizes of the network's default boxes.

    Between the squares of these sizes lie squares of the geometric mean of two neighbours.
    """
    height, width = model.coder.default_bbox[:, 2:].T
    squares = np.unique(height[abs(height - width) < 1e-6].round(6))
    return (*squares[::2], squares[-1] ** 2 / squares[-2])


@pytest.mark.parametrize('name, insize, n_box', [('ssd300', 300, 8732), ('ssd512', 512, 24564)])
def test_the_papers_networks_have_the_papers_default_boxes(name, insize, n_box):
    model = make_detector(name, 20)
    assert model.insize == insize and model.coder.default_bbox.shape == (n_box, 4)
    assert model.multibox.conf[0].W.shape == (4 * 21, 512, 3, 3)
    # the paper's sizes, as Caffe's ssd_pascal.py computes them
    paper = {'ssd300': (30, 60, 111, 162, 213, 264, 315),
             'ssd512': (35.84, 76.8, 153.6, 230.4, 307.2, 384, 460.8, 537.6)}
    assert box_sizes(model) == pytest.approx(paper[name])


@pytest.mark.parametrize('name, n_box, smallest', [
    ('ssd300-coco', 8732, 21), ('ssd300-ratio2', 7760, 30), ('ssd300-square', 3880, 30)])
def test_variants_have_the_boxes_they_declare(name, n_box, smallest):
    model = make_detector(name, 1)
    assert model.coder.default_bbox.shape == (n_box, 4)
    np.testing.assert_allclose(model.coder.default_bbox[0], [4, 4, smallest, smallest])
    ratio = model.coder.default_bbox[:, 3] / model.coder.default_bbox[:, 2]
    assert ratio.max() == pytest.approx({8732: 3, 7760: 2, 3880: 1}[n_box])
    with chainer.using_config('train', False), chainer.no_backprop_mode():
        mb_locs, mb_confs = model(np.zeros((1, 3, 300, 300), 'f'))
    assert mb_locs.shape == (1, n_box, 4) and mb_confs.shape == (1, n_box, 2)


def test_ssd512s_boxes_for_coco_are_as_many_and_smaller():
    model = make_detector('ssd512-coco', 1)
    assert model.coder.default_bbox.shape == (24564, 4)
    assert box_sizes(model) == pytest.approx(
        (20.48, 51.2, 133.12, 215.04, 296.96, 378.88, 460.8, 542.72))
