"""An exported network gives the same outputs in onnxruntime. Its metadata tell how to decode."""
import json
import sys

from multibox.errors import UserError
from multibox.matching import decode
from multibox.networks import make_detector
from multibox.weights import save_model
from multibox.weights.__main__ import main
from tests.support.networks import forward

import numpy as np
import pytest

NAMES = 'cat', 'dog', 'cow'


@pytest.fixture(scope='module', params=['slim300', 'ssd300', 'lite300'])
def exported(request, tmp_path_factory):
    """A network, and onnxruntime's session of the exported network."""
    pytest.importorskip('onnx.mapping', exc_type=ImportError)
    onnxruntime = pytest.importorskip('onnxruntime')
    folder = tmp_path_factory.mktemp('onnx')
    np.random.seed(0)
    model = make_detector(request.param, 3)
    save_model(folder / 'model.npz', model, request.param, NAMES)
    main(['export', str(folder / 'model.npz'), '--out', str(folder / 'model.onnx')])
    return model, onnxruntime.InferenceSession(folder / 'model.onnx')


@pytest.mark.parametrize('n_image', [1, 2])
def test_onnxruntime_gives_the_networks_outputs(exported, n_image):
    model, session = exported
    x = np.random.RandomState(0).uniform(-120, 130, (n_image, 3, 300, 300)).astype('f')
    x[1:] = 0
    for ours, theirs in zip(forward(model, x), session.run(None, {'images': x}), strict=True):
        assert ours.shape == theirs.shape
        np.testing.assert_allclose(theirs, ours, rtol=1e-4, atol=1e-5 * abs(ours).max())


def test_names_and_shapes_are_said(exported):
    (images,), (locs, confs) = exported[1].get_inputs(), exported[1].get_outputs()
    assert (images.name, images.shape) == ('images', ['B', 3, 300, 300])
    assert (locs.name, locs.shape) == ('mb_locs', ['B', 8732, 4])
    assert (confs.name, confs.shape) == ('mb_confs', ['B', 8732, 4])


def test_the_metadata_are_enough_to_decode(exported):
    model, session = exported
    about = session.get_modelmeta().custom_metadata_map
    boxes, mean, (v_centre, v_size), names = [np.array(json.loads(about[key])) for key in (
        'default_bbox', 'mean', 'variance', 'label_names')]
    assert mean.tolist() == ([127] * 3 if 'trunk' in model.extractor.__dict__
                             else [123, 117, 104])
    assert names.tolist() == list(NAMES)
    mb_loc = np.random.RandomState(0).normal(size=(8732, 4)).astype('f')
    # The formula is documented in multibox/weights/export.py.
    centre = boxes[:, :2] + mb_loc[:, :2] * v_centre * boxes[:, 2:]
    size = boxes[:, 2:] * np.exp(mb_loc[:, 2:] * v_size)
    corners = np.hstack((centre - size / 2, centre + size / 2))
    expected = decode(mb_loc, model.coder.default_bbox, model.coder.variance)
    np.testing.assert_allclose(corners, expected, rtol=1e-5, atol=1e-3)


def test_a_model_is_not_overwritten(tmp_path):
    with pytest.raises(UserError, match=r'model\.npz: must end in \.onnx'):
        main(['export', 'model.npz', '--out', str(tmp_path / 'model.npz')])


def test_without_onnx_the_file_to_install_is_named(monkeypatch, tmp_path):
    save_model(tmp_path / 'model.npz', make_detector('slim300', 1), 'slim300', ['cat'])
    monkeypatch.setitem(sys.modules, 'onnx', None)
    with pytest.raises(UserError, match=r'pip install -r requirements-onnx\.txt'):
        main(['export', str(tmp_path / 'model.npz'), '--out', str(tmp_path / 'model.onnx')])
