"""Weights of Caffe's SSD: OpenCV's own reading of prototxt and caffemodel, and ours, agree."""
import itertools

from multibox.errors import UserError
from multibox.weights import caffe, load_model, read
from multibox.weights.__main__ import main

import cv2
import numpy as np
import pytest
from caffe_files import SSD, layer, old_layer
from test_weights import forward

COCO = 21, 45, 99, 153, 207, 261, 315  # of Caffe's ssd_coco.py, for 300 pixels
# the first heads of an SSD for 3 classes, as much of one as a refusal needs
HEADS = (layer('conv4_3_norm_mbox_loc', 'Convolution', np.zeros((16, 512, 3, 3)), np.zeros(16))
         + layer('conv4_3_norm_mbox_conf', 'Convolution', np.zeros((16, 512, 3, 3)), np.zeros(16)))


def prior_boxes(*sizes):
    return b''.join(layer(f'{i}_mbox_priorbox', 'PriorBox', prior_box=pair)
                    for i, pair in enumerate(itertools.pairwise(sizes)))


@pytest.fixture(scope='module')
def converted(tmp_path_factory):
    """(Caffe's files, our network) of an SSD300 for 3 classes with default boxes as for COCO."""
    folder = tmp_path_factory.mktemp('caffe')
    ssd = SSD(300, COCO, n_class=4)
    (folder / 'ssd.caffemodel').write_bytes(ssd.caffemodel)
    (folder / 'names').write_text('cat\ndog\ncow\n')
    main(['convert', str(folder / 'ssd.caffemodel'), '--classes', str(folder / 'names'),
          '--out', str(folder / 'model.npz')])
    model, name, label_names = load_model(folder / 'model.npz')
    assert (name, label_names) == ('ssd300', ('cat', 'dog', 'cow'))
    return ssd, model


def run(ssd, rgb):
    """Caffe's outputs on RGB images minus the mean, (1, 3, S, S), by OpenCV."""
    net = cv2.dnn.readNetFromCaffe(np.frombuffer(ssd.text.encode(), np.uint8),
                                   np.frombuffer(ssd.caffemodel, np.uint8))
    net.enableWinograd(False)  # rounds ten times as coarsely
    net.setInput(np.ascontiguousarray(rgb[:, ::-1]))  # Caffe's networks see BGR
    return net.forward(['mbox_loc', 'mbox_conf', 'mbox_priorbox'])


@pytest.fixture(scope='module')
def outputs(converted):
    ssd, model = converted
    x = np.random.RandomState(0).uniform(-120, 130, (1, 3, 300, 300)).astype('f')
    return run(ssd, x), forward(model, x)


def test_the_converted_network_gives_caffes_outputs(outputs):
    (loc, conf, _), (mb_locs, mb_confs) = outputs
    loc = loc.reshape(1, -1, 4)[..., [1, 0, 3, 2]]  # x first there
    np.testing.assert_allclose(mb_locs, loc, rtol=1e-4, atol=2e-5)
    np.testing.assert_allclose(mb_confs, conf.reshape(mb_confs.shape), rtol=1e-4, atol=2e-5)


def test_the_default_boxes_are_those_of_the_file(outputs, converted):
    x_min, y_min, x_max, y_max = 300 * outputs[0][2][0, 0].reshape(-1, 4).T
    expected = [(y_min + y_max) / 2, (x_min + x_max) / 2, y_max - y_min, x_max - x_min]
    np.testing.assert_allclose(converted[1].coder.default_bbox, np.transpose(expected), rtol=1e-4)


def convert(path, content, *options):
    path.write_bytes(content)
    main(['convert', str(path), '--out', str(path.with_name('out.npz')), *options])


def test_an_old_vgg16_becomes_a_trunk(tmp_path, capsys):
    rng = np.random.default_rng(0)
    W, b = rng.random((64, 3, 3, 3), 'f'), rng.random(64, 'f')
    fc7 = rng.random((1024, 1024, 1, 1), 'f')
    convert(tmp_path / 'vgg.caffemodel', old_layer('conv1_1', W, b) + old_layer('fc7', fc7)
            + old_layer('fc8', rng.random((10, 4), 'f')))
    said = capsys.readouterr()[0]
    assert 'matched    3 of 71' in said and 'left over  fc8\n' in said
    with np.load(tmp_path / 'out.npz') as arrays:
        np.testing.assert_array_equal(arrays['extractor/conv1_1/W'], W[:, ::-1])
        np.testing.assert_array_equal(arrays['extractor/conv1_1/b'], b)
        np.testing.assert_array_equal(arrays['extractor/conv7/W'], fc7)


def test_another_network_is_refused_with_shapes(tmp_path):
    other = layer('fc7_mbox_loc', 'Convolution', np.zeros((24, 512, 3, 3)), np.zeros(24))
    with pytest.raises(UserError, match=r'loc/1/W: wanted \(24, 1024, 3, 3\), found \(24, 512, 3'):
        convert(tmp_path / 'x.caffemodel', HEADS + other, '--classes', '3')
    assert not (tmp_path / 'out.npz').exists()


def test_a_number_of_heads_of_another_network_is_refused(tmp_path):
    with pytest.raises(UserError, match='has 2 heads; a slim300 has another number'):
        convert(tmp_path / 'x.caffemodel', HEADS + prior_boxes(30, 60, 90), '--classes', '3',
                '--model', 'slim300')


@pytest.mark.parametrize('options, match', [
    ((), 'has 3 classes without names'),
    (('--classes', 'voc'), 'voc: 20 classes, and .* has 3'),
    (('--classes', 'nowhere'), 'nowhere: cannot be read'),
], ids=['none', 'too many', 'no file'])
def test_classes_must_be_named_rightly(tmp_path, options, match):
    with pytest.raises(UserError, match=match):
        convert(tmp_path / 'x.caffemodel', HEADS, *options)


def test_sizes_lose_their_fractions_as_in_caffe(tmp_path):
    # prior_box_layer.cpp keeps them in int: SSD512's 35.84 becomes 35
    (tmp_path / 'x.caffemodel').write_bytes(prior_boxes(35.84, 76.8, 153.6))
    assert caffe.sizes(tmp_path / 'x.caffemodel') == (35, 76, 153)


def test_a_file_without_prior_boxes_says_no_sizes(tmp_path):
    (tmp_path / 'x.caffemodel').write_bytes(HEADS)
    assert caffe.sizes(tmp_path / 'x.caffemodel') is None


def test_default_boxes_with_gaps_are_refused(tmp_path):
    gap = prior_boxes(30, 60) + prior_boxes(90, 120)
    with pytest.raises(UserError, match='the max_size of each grid must be the min_size'):
        convert(tmp_path / 'x.caffemodel', HEADS + gap, '--classes', '3')


@pytest.mark.parametrize('content, match', [
    (None, 'No such file'), (b'', 'without layers'), (b'PK nonsense', 'not a readable'),
    (layer('conv1_1', 'Convolution', np.zeros((2, 2)))[:-8], 'not a readable'),
], ids=['missing', 'empty', 'garbage', 'cut off'])
def test_an_unreadable_file_is_named(tmp_path, content, match):
    if content is not None:
        (tmp_path / 'x.caffemodel').write_bytes(content)
    with pytest.raises(UserError, match=rf'x\.caffemodel: .*{match}'):
        read(str(tmp_path / 'x.caffemodel'))


def test_fewer_numbers_than_the_shape_says_are_refused(tmp_path):
    content = layer('conv1_1', 'Convolution', np.zeros((2, 5)))
    shape, more = b'\x0a\x02\x02\x05', b'\x0a\x02\x02\x06'
    assert shape in content
    (tmp_path / 'x.caffemodel').write_bytes(content.replace(shape, more))
    with pytest.raises(UserError, match='conv1_1 holds 10 numbers where its shape is'):
        read(str(tmp_path / 'x.caffemodel'))
