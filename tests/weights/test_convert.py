"""The conversion of ChainerCV's files, and the output of the command line."""
from multibox import engines
from multibox.errors import UserError
from multibox.networks import make_detector
from multibox.weights import load_model, save_model
from multibox.weights.__main__ import main
from tests.support.networks import forward

import chainer
import numpy as np
import pytest
from chainercv.datasets import coco_bbox_label_names, voc_bbox_label_names
from chainercv.links import SSD300


@pytest.mark.slow
def test_a_converted_ssd300_of_chainercv_gives_the_same_outputs(tmp_path, capsys):
    x = np.random.RandomState(0).uniform(-120, 130, (1, 3, 300, 300))
    chainercvs = SSD300(n_fg_class=20)
    expected = forward(chainercvs, x)
    chainer.serializers.save_npz(tmp_path / 'ssd300.npz', chainercvs, compression=False)
    main(['convert', str(tmp_path / 'ssd300.npz'), '--out', str(tmp_path / 'model.npz')])
    assert 'matched    71 of 71 parameters\nleft over  none' in capsys.readouterr()[0]
    model, name, label_names = load_model(tmp_path / 'model.npz')
    assert (name, label_names) == ('ssd300', voc_bbox_label_names)
    with engines.using('chainer'):
        actual = forward(model, x)
    for ours, theirs in zip(actual, expected, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    back = SSD300(n_fg_class=20)
    chainer.serializers.load_npz(tmp_path / 'model.npz', back)
    np.testing.assert_array_equal(
        back.multibox.conf[5].W.array, chainercvs.multibox.conf[5].W.array)


def test_chainercvs_vgg16_becomes_a_trunk(tmp_path, capsys):
    W = np.random.RandomState(0).normal(size=(64, 3, 3, 3)).astype('f')
    np.savez(tmp_path / 'vgg.npz', **{'conv1_1/conv/W': W, 'fc6/W': np.zeros((5, 4), 'f')})
    main(['convert', str(tmp_path / 'vgg.npz'), '--out', str(tmp_path / 'new/trunk.npz')])
    assert 'matched    1 of 71 parameters\nleft over  fc6\n' in capsys.readouterr()[0]
    with np.load(tmp_path / 'new/trunk.npz') as arrays:
        np.testing.assert_array_equal(arrays['extractor/conv1_1/W'], W)


@pytest.mark.parametrize('matching', [{}, {'conv1_1/b': np.zeros(64, 'f')}], ids=['none', 'some'])
def test_a_trunk_of_other_shapes_is_refused(matching, tmp_path):
    np.savez(tmp_path / 'x.npz', **{'conv1_1/W': np.zeros((2, 3, 3, 3), 'f')}, **matching)
    with pytest.raises(UserError, match=r'conv1_1/W: wanted \(64, 3, 3, 3\), found \(2, 3, 3, 3\)'):
        main(['convert', str(tmp_path / 'x.npz'), '--out', str(tmp_path / 'trunk.npz')])


def test_a_network_that_is_all_there_but_for_a_shape_is_refused(tmp_path):
    save_model(tmp_path / 'slim.npz', make_detector('slim300', 2), 'slim300', ('cat', 'dog'))
    with np.load(tmp_path / 'slim.npz') as arrays:
        arrays = {name: arrays[name] for name in arrays if '/' in name}
    name = next(name for name in arrays if name.endswith('/W'))
    np.savez(tmp_path / 'x.npz', **{**arrays, name: np.zeros((2, 2), 'f')})
    with pytest.raises(UserError, match=rf'{name}: wanted .*, found \(2, 2\)'):
        main(['convert', str(tmp_path / 'x.npz'), '--out', str(tmp_path / 'model.npz'),
              '--model', 'slim300', '--classes', '2'])
    assert not (tmp_path / 'model.npz').exists()


def test_heads_of_80_classes_may_be_cocos(tmp_path):
    np.savez(tmp_path / 'x.npz', **{'multibox/loc/0/b': np.zeros(16, 'f'),
                                    'multibox/conf/0/b': np.zeros(4 * 81, 'f')})
    convert = ['convert', str(tmp_path / 'x.npz'), '--out', str(tmp_path / 'model.npz')]
    with pytest.raises(UserError, match=r'has 80 classes without names; .* --classes coco'):
        main(convert)
    with pytest.raises(UserError, match='matched    2 of 71') as refusal:
        main([*convert, '--classes', 'coco'])
    assert 'missing    extractor/conv10_1, extractor/conv10_2, extractor/conv11_1, ' in str(
        refusal.value)
    assert len(coco_bbox_label_names) == 80


@pytest.mark.parametrize('flags, match', [
    (['x.npz', '--out', 'model'], r'--out model: must end in \.npz'),
    (['x.npz', '--bgr', '--out', 'y.npz'], r'--bgr: is for a \.pth'),
    (['x.caffemodel', '--bgr', '--out', 'y.npz'], r'--bgr: is for a \.pth'),
], ids=['suffix', 'npz', 'caffemodel'])
def test_a_wrong_flag_is_named(flags, match):
    with pytest.raises(UserError, match=match):
        main(['convert', *flags])


def test_a_model_file_is_not_converted_again(tmp_path):
    save_model(tmp_path / 'model.npz', make_detector('slim300', 1), 'slim300', ['cat'])
    with pytest.raises(UserError, match=r'model\.npz: is a model\.npz already'):
        main(['convert', str(tmp_path / 'model.npz'), '--out', str(tmp_path / 'x.npz')])


@pytest.mark.parametrize('command', ['convert', 'export'])
@pytest.mark.parametrize('link', [False, True], ids=['itself', 'link'])
def test_the_source_is_not_overwritten(tmp_path, command, link):
    source = out = tmp_path / 'x.npz'
    np.savez(source, **{'extractor/conv1_1/b': np.zeros(64, 'f')})
    before = source.read_bytes()
    if link:
        out = tmp_path / 'y.npz'
        out.symlink_to(source)
    with pytest.raises(UserError, match=f'{out}: is the file to read, which would be overwritten'):
        main([command, str(source), '--out', str(out)])
    assert source.read_bytes() == before and out.is_symlink() == link


def test_a_class_named_twice_is_refused(tmp_path):
    np.savez(tmp_path / 'x.npz', **{'multibox/loc/0/b': np.zeros(16, 'f'),
                                    'multibox/conf/0/b': np.zeros(4 * 3, 'f')})
    (tmp_path / 'names').write_text('cat\ncat\n')
    with pytest.raises(UserError, match='names: names a class twice'):
        main(['convert', str(tmp_path / 'x.npz'), '--classes', str(tmp_path / 'names'),
              '--out', str(tmp_path / 'y.npz')])


def test_show_lists_names_and_shapes(tmp_path, capsys):
    np.savez(tmp_path / 'x.npz', **{'conv1_1/W': np.zeros((2, 3, 1, 1), 'f')}, description='words')
    main(['show', str(tmp_path / 'x.npz')])
    assert capsys.readouterr()[0].split(maxsplit=1) == ['extractor/conv1_1/W', '(2, 3, 1, 1)\n']
