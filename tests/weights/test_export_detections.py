"""A network exported with --detections gives the boxes of predict, from the photograph on."""
import json
from types import SimpleNamespace

from multibox.boxes import Coder
from multibox.data.synthetic import draw_picture
from multibox.errors import UserError
from multibox.networks.ssd import IMAGENET_MEAN
from multibox.weights import load_model, save_model
from multibox.weights.__main__ import main
from multibox.weights.export import OPSET
from multibox.weights.export_detections import add_detections
from tests.support.networks import moderate_model

import numpy as np
import pytest

NAMES = 'cat', 'dog', 'cow'


@pytest.fixture(scope='module')
def runtime():
    pytest.importorskip('onnx.mapping', exc_type=ImportError)
    return pytest.importorskip('onnxruntime')


@pytest.fixture(scope='module')
def exported(runtime, tmp_path_factory):
    """A network with about 100 detections in a drawn picture, and onnxruntime's session of it."""
    path = tmp_path_factory.mktemp('onnx') / 'model.npz'
    save_model(path, moderate_model(3), 'slim300', NAMES, threshold=.8)
    main(['export', str(path), '--out', str(path.with_suffix('.onnx')), '--detections'])
    return load_model(path)[0], runtime.InferenceSession(path.with_suffix('.onnx'))


def detect(session, images):
    """The outputs per image: labels, scores, and boxes in pixels of the image."""
    boxes, labels, scores, index = session.run(None, {'images': images})
    boxes *= np.tile(images.shape[2:], 2).astype('f')
    return [(labels[index == i], scores[index == i], boxes[index == i])
            for i in range(len(images))]


def assert_equal(found, expected):
    bbox, label, score = expected
    np.testing.assert_array_equal(found[0], label)
    np.testing.assert_allclose(found[1], score, rtol=0, atol=1e-5)
    np.testing.assert_allclose(found[2], bbox, rtol=0, atol=1e-2)


@pytest.fixture(scope='module')
def photos():
    """Two drawn pictures of equal size, and one in the mean colour, in which nothing is found."""
    drawn = [draw_picture(np.random.default_rng(seed))[0][:200, :200] for seed in range(2)]
    mean = np.full_like(drawn[0], IMAGENET_MEAN.ravel())
    return np.stack([*drawn, mean]).transpose(0, 3, 1, 2).astype('f')


def test_photographs_of_any_size_give_the_boxes_of_predict(exported, photos):
    model, session = exported
    for photo in photos[0], photos[1, :, :150], np.concatenate(photos[:2], axis=2):
        found, = detect(session, photo[None])
        expected, = zip(*model.predict([photo]))
        assert len(expected[0]) > 10 and len(set(expected[1])) > 1
        assert_equal(found, expected)


def test_a_batch_names_the_image_of_each_detection(exported, photos):
    model, session = exported
    expected = list(zip(*model.predict(photos)))
    assert [len(bbox) > 0 for bbox, _, _ in expected] == [True, True, False]
    for found, wanted in zip(detect(session, photos), expected, strict=True):
        assert_equal(found, wanted)
    boxes, *rest = session.run(None, {'images': photos[2:]})
    assert boxes.shape == (0, 4) and [array.shape for array in rest] == [(0,)] * 3


def test_the_names_and_the_metadata_are_said(exported):
    session = exported[1]
    assert [(value.name, value.type, value.shape) for value in (
        *session.get_inputs(), *session.get_outputs())] == [
        ('images', 'tensor(float)', ['B', 3, 'H', 'W']), ('boxes', 'tensor(float)', ['N', 4]),
        ('labels', 'tensor(int64)', ['N']), ('scores', 'tensor(float)', ['N']),
        ('image_index', 'tensor(int64)', ['N'])]
    about = session.get_modelmeta().custom_metadata_map
    assert {key: json.loads(value) for key, value in about.items()} == {
        'label_names': list(NAMES), 'score_threshold': .8, 'nms_threshold': .45,
        'images': 'RGB, 0 to 255, of any size',
        'boxes': 'y_min, x_min, y_max, x_max as shares of the height and width'}


def run_behind(runtime, coder, mb_locs, mb_confs, nms_thresh, score_thresh):
    """The detections of a graph whose network gives these outputs for any image."""
    import onnx
    outputs = [onnx.helper.make_node('Constant', [], [name], value=onnx.numpy_helper.from_array(
        value)) for name, value in (('mb_locs', mb_locs), ('mb_confs', mb_confs))]
    graph = onnx.helper.make_graph(outputs, 'constants', [], [])
    onnx_model = onnx.helper.make_model(
        graph, opset_imports=[onnx.helper.make_opsetid('', OPSET)], ir_version=6)
    model = SimpleNamespace(coder=coder, insize=64, mean=np.zeros((3, 1, 1), 'f'),
                            nms_thresh=nms_thresh, score_thresh=score_thresh)
    add_detections(onnx_model, model, NAMES)
    session = runtime.InferenceSession(onnx_model.SerializeToString())
    return detect(session, np.zeros((len(mb_locs), 3, 64, 64), 'f'))


def test_an_iou_and_a_score_at_their_thresholds_count(runtime):
    coder = Coder(np.array([[32, 32, 32, 32], [32, 32, 16, 32], [32, 32, 8, 32]], float))
    mb_locs = np.zeros((1, 3, 4), 'f')
    mb_confs = np.array([[[0, 2, -np.inf], [0, 1, -np.inf], [0, 0, -np.inf]]], 'f')
    expected = coder.decode(mb_locs[0], mb_confs[0], .5, .5)
    assert expected[2][1] == .5 and len(expected[0]) == 2  # the IoU of the first two boxes is 0.5
    assert_equal(*run_behind(runtime, coder, mb_locs, mb_confs, .5, .5), expected)


@pytest.mark.parametrize('nms_thresh', [.3, .45, .7])
def test_random_outputs_are_decoded_as_by_the_coder(runtime, nms_thresh):
    rng = np.random.RandomState(0)
    coder = Coder(np.hstack([rng.uniform(0, 64, (300, 2)), rng.uniform(5, 40, (300, 2))]))
    mb_locs = rng.normal(size=(2, 300, 4)).astype('f')
    mb_confs = rng.normal(scale=3, size=(2, 300, 4)).astype('f')
    mb_confs[1, :5] = np.nan  # no probability, so no detection
    mb_confs[1, 5:10] += 100
    found = run_behind(runtime, coder, mb_locs, mb_confs, nms_thresh, .3)
    for i in range(2):
        with np.errstate(invalid='ignore'):
            expected = coder.decode(mb_locs[i], mb_confs[i], nms_thresh, .3)
        assert len(expected[0]) > 30
        assert_equal(found[i], expected)


@pytest.mark.parametrize('flags, message', [
    (['--score', '.3'], '--score is for --detections; give both'),
    (['--detections', '--score', '2'], '--score must be a number from 0 to 1, got 2')])
def test_a_score_that_has_no_use_is_refused(tmp_path, flags, message):
    with pytest.raises(UserError, match=message):
        main(['export', 'model.npz', '--out', str(tmp_path / 'model.onnx'), *flags])


def test_the_score_of_the_flag_replaces_that_of_the_weights(exported, runtime, tmp_path, capsys):
    save_model(tmp_path / 'model.npz', exported[0], 'slim300', NAMES, threshold=.8)
    main(['export', str(tmp_path / 'model.npz'), '--out', str(tmp_path / 'model.onnx'),
          '--detections', '--score', '.9'])
    assert capsys.readouterr().out.endswith('image_index (N); scores from 0.9\n')
    session = runtime.InferenceSession(tmp_path / 'model.onnx')
    assert session.get_modelmeta().custom_metadata_map['score_threshold'] == '0.9'
