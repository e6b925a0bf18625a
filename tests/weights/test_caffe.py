"""Weights of Caffe's SSD. OpenCV's reader of prototxt and caffemodel gives expected results."""
import types

from multibox import engines
from multibox.errors import UserError
from multibox.weights import caffe, load_model, read
from multibox.weights.__main__ import main
from tests.support.caffe_files import SSD, VARIANCE, field, layer, old_layer, prototxt, varint
from tests.support.networks import forward

import cv2
import numpy as np
import pytest

COCO = 21, 45, 99, 153, 207, 261, 315  # sizes in Caffe's ssd_coco.py for 300 pixels
# The first heads of an SSD for 3 classes. Tests of refusals need no other layers.
HEADS = (layer('conv4_3_norm_mbox_loc', 'Convolution', np.zeros((16, 512, 3, 3)), np.zeros(16))
         + layer('conv4_3_norm_mbox_conf', 'Convolution', np.zeros((16, 512, 3, 3)), np.zeros(16)))


@pytest.fixture(scope='module')
def converted(tmp_path_factory):
    """An SSD300 for 3 classes with the default boxes for COCO.

    Returns Caffe's files and the converted network.
    """
    folder = tmp_path_factory.mktemp('caffe')
    ssd = SSD(300, COCO, n_class=4)
    (folder / 'ssd.caffemodel').write_bytes(ssd.caffemodel)
    (folder / 'names').write_text('cat\ndog\ncow\n')
    main(['convert', str(folder / 'ssd.caffemodel'), '--classes', str(folder / 'names'),
          '--out', str(folder / 'model.npz')])
    model, name, label_names = load_model(folder / 'model.npz')
    assert (name, label_names) == ('ssd300', ('cat', 'dog', 'cow'))
    return ssd, model


def read_net(*buffers):
    if not hasattr(cv2.dnn, 'readNetFromCaffe'):
        pytest.skip('OpenCV 5 reads no files of Caffe')
    return cv2.dnn.readNetFromCaffe(*buffers)


def run(ssd, rgb):
    """Caffe's outputs as OpenCV computes them, for an RGB image minus the mean, (1, 3, S, S)."""
    net = read_net(np.frombuffer(ssd.text.encode(), np.uint8),
                   np.frombuffer(ssd.caffemodel, np.uint8))
    net.enableWinograd(False)  # its rounding errors are ten times as large
    net.setInput(np.ascontiguousarray(rgb[:, ::-1]))  # Caffe's networks see BGR
    return net.forward(['mbox_loc', 'mbox_conf', 'mbox_priorbox'])


@pytest.fixture(scope='module')
def outputs(converted):
    ssd, model = converted
    x = np.random.RandomState(0).uniform(-120, 130, (1, 3, 300, 300)).astype('f')
    with engines.using('chainer'):
        return run(ssd, x), forward(model, x)


@pytest.mark.slow
def test_the_converted_network_gives_caffes_outputs(outputs):
    (loc, conf, _), (mb_locs, mb_confs) = outputs
    loc = loc.reshape(1, -1, 4)[..., [1, 0, 3, 2]]  # Caffe's order is x, y
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


def test_heads_of_another_network_are_refused(tmp_path):
    with pytest.raises(UserError, match='does not fit a slim300; is --model') as error:
        convert(tmp_path / 'x.caffemodel', HEADS, '--classes', '3', '--model', 'slim300')
    assert 'loc/0/W: wanted (16, 64, 3, 3), found (16, 512, 3, 3)' in str(error.value)


@pytest.mark.parametrize('options, match', [
    ((), 'has 3 classes without names'),
    (('--classes', 'voc'), 'voc: 20 classes, and .* has 3'),
    (('--classes', 'nowhere'), 'nowhere: cannot be read'),
], ids=['none', 'too many', 'no file'])
def test_classes_must_be_named_rightly(tmp_path, options, match):
    with pytest.raises(UserError, match=match):
        convert(tmp_path / 'x.caffemodel', HEADS, *options)


SETTINGS = {'min_size': 60, 'max_size': 111, 'aspect_ratio': (2, 3), 'variance': VARIANCE,
            'clip': False}  # OpenCV's default differs


def network(n_box, grid=5):
    """The attributes of a network that default boxes depend on, for 300 pixels and one grid."""
    return types.SimpleNamespace(
        insize=300, extractor=types.SimpleNamespace(grids=(grid,)),
        coder=types.SimpleNamespace(default_bbox=np.zeros((n_box, 4))))


def boxes(tmp_path, settings, n_box):
    (tmp_path / 'x.caffemodel').write_bytes(layer('a', 'PriorBox', prior_box=settings))
    return caffe.default_bbox(tmp_path / 'x.caffemodel', network(n_box))


@pytest.mark.parametrize('changed', [
    {}, {'step': 64}, {'offset': .25}, {'flip': False}, {'clip': True}, {'aspect_ratio': (1, 2, 2)},
    {'max_size': ()},
], ids=str)
def test_default_boxes_are_those_opencv_makes(tmp_path, changed):
    settings = {**SETTINGS, **changed}
    text = ('input: "x" input_shape { dim: 1 dim: 1 dim: 5 dim: 5 } input: "data" '
            'input_shape { dim: 1 dim: 3 dim: 300 dim: 300 } layer { name: "a" type: "PriorBox" '
            f'bottom: "x" bottom: "data" top: "a" prior_box_param {{ {prototxt(settings)} }} }}')
    net = read_net(np.frombuffer(text.encode(), np.uint8))
    net.setInput(np.zeros((1, 1, 5, 5), 'f'), 'x')
    net.setInput(np.zeros((1, 3, 300, 300), 'f'), 'data')
    x_min, y_min, x_max, y_max = 300 * net.forward('a')[0, 0].reshape(-1, 4).T
    expected = [(y_min + y_max) / 2, (x_min + x_max) / 2, y_max - y_min, x_max - x_min]
    np.testing.assert_allclose(
        boxes(tmp_path, settings, len(x_min)), np.transpose(expected), rtol=1e-4, atol=1e-4)


def test_sizes_lose_their_fractions_as_in_caffe(tmp_path):
    # prior_box_layer.cpp stores sizes as int: SSD512's 35.84 becomes 35.
    found = boxes(tmp_path, {**SETTINGS, 'min_size': 35.84, 'max_size': 76.8}, 150)
    np.testing.assert_allclose(found[:2, 2], [35, (35 * 76) ** .5])


def test_a_file_without_prior_boxes_keeps_the_networks_boxes(tmp_path):
    (tmp_path / 'x.caffemodel').write_bytes(HEADS)
    model = network(3)
    assert caffe.default_bbox(tmp_path / 'x.caffemodel', model) is model.coder.default_bbox


@pytest.mark.parametrize('variance', [(), .1, (.1, .1, .1, .1)])
def test_other_variances_are_refused(tmp_path, variance):
    with pytest.raises(UserError, match=r'have the variances .*only \(0\.1, 0\.1, 0\.2, 0\.2\)'):
        boxes(tmp_path, {**SETTINGS, 'variance': variance}, 150)


def test_another_number_of_default_boxes_is_refused(tmp_path):
    with pytest.raises(UserError, match=r'1 PriorBox layers give 150 default boxes, .* have 100'):
        boxes(tmp_path, SETTINGS, 100)


@pytest.mark.parametrize('name', ['conv1', 'conv5', 'fc8', 'fc6_1', 'conv4_3_norm_mbox_priorbox'])
def test_an_unknown_layer_keeps_its_name(name):
    assert caffe.rename(name, 0) == f'{name}/0'


@pytest.mark.parametrize('content, match', [
    (None, 'no such file'), (b'', 'without layers'), (b'PK nonsense', 'not a readable'),
    (layer('conv1_1', 'Convolution', np.zeros((2, 2)))[:-8], 'not a readable'),
], ids=['missing', 'empty', 'garbage', 'cut off'])
def test_an_unreadable_file_is_named(tmp_path, content, match):
    if content is not None:
        (tmp_path / 'x.caffemodel').write_bytes(content)
    with pytest.raises(UserError, match=rf'x\.caffemodel: .*{match}'):
        read(str(tmp_path / 'x.caffemodel'))


def test_a_shape_below_zero_is_refused(tmp_path):
    shape = field(7, field(1, varint(2 ** 64 - 1) + varint(2 ** 64 - 10)))
    numbers = field(5, np.zeros(10, 'f').tobytes())
    damaged = field(100, field(1, b'conv1_1') + field(7, shape + numbers))
    with pytest.raises(UserError, match=r'conv1_1 holds 10 numbers where its shape is \(-1, -10\)'):
        convert(tmp_path / 'x.caffemodel', damaged)


def test_fewer_numbers_than_the_shape_says_are_refused(tmp_path):
    content = layer('conv1_1', 'Convolution', np.zeros((2, 5)))
    shape, more = b'\x0a\x02\x02\x05', b'\x0a\x02\x02\x06'
    assert shape in content
    (tmp_path / 'x.caffemodel').write_bytes(content.replace(shape, more))
    with pytest.raises(UserError, match='conv1_1 holds 10 numbers where its shape is'):
        read(str(tmp_path / 'x.caffemodel'))


@pytest.mark.parametrize('name', ['aspect_ratio', 'min_size', 'max_size'])
@pytest.mark.parametrize('value', [(0,), (-2,), (float('nan'),), (float('inf'),), (2,) * 1000],
                         ids=['0', 'negative', 'nan', 'inf', 'many'])
def test_sizes_and_ratios_that_are_none_are_refused(tmp_path, name, value):
    with pytest.raises(UserError, match=r'x\.caffemodel: the sizes and ratios .* numbers above 0'):
        boxes(tmp_path, {**SETTINGS, name: value}, 150)


def test_a_number_of_double_precision_beyond_float32_becomes_infinite(tmp_path):
    numbers = field(8, np.array([1e300, 1]).tobytes())
    (tmp_path / 'x.caffemodel').write_bytes(field(100, field(1, b'conv1_1') + field(
        7, field(7, field(1, varint(2))) + numbers)))
    assert read(str(tmp_path / 'x.caffemodel'))['extractor/conv1_1/W'].tolist() == [np.inf, 1]


@pytest.mark.parametrize('shape', [[2 ** 40, 2 ** 40], [2 ** 62], [1] * 40 + [2]],
                         ids=['product', 'side', 'dimensions'])
def test_absurd_shapes_are_refused(tmp_path, shape):
    dims = b''.join(map(varint, shape))
    content = field(100, field(1, b'conv1_1') + field(7, field(7, field(1, dims)) + field(
        5, np.zeros(2, 'f').tobytes())))
    (tmp_path / 'x.caffemodel').write_bytes(content)
    with pytest.raises(UserError, match='conv1_1 holds 2 numbers where its shape is'):
        read(str(tmp_path / 'x.caffemodel'))


def test_millions_of_empty_layers_are_refused(tmp_path):
    (tmp_path / 'x.caffemodel').write_bytes(field(100, b'') * 200_000)
    with pytest.raises(UserError, match='with too many layers'):
        read(str(tmp_path / 'x.caffemodel'))


def test_a_layer_of_a_long_number_is_refused(tmp_path):
    name = b'conv' + b'9' * 5000 + b'_1'
    (tmp_path / 'x.caffemodel').write_bytes(layer(name.decode(), 'Convolution', np.zeros((2, 2))))
    with pytest.raises(UserError, match=r'x\.caffemodel: is damaged \(ValueError\)'):
        read(str(tmp_path / 'x.caffemodel'))
