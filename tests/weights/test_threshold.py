"""The threshold in model.npz: what load_model makes of it, and what it refuses."""
import json

from multibox.errors import UserError
from multibox.networks import make_detector
from multibox.weights import load_model, save_model, start
from multibox.weights.export import to_onnx
from multibox.weights.model_file import DESCRIPTION

import numpy as np
import pytest


@pytest.fixture(scope='module')
def slim():
    return make_detector('slim300', 1)


@pytest.fixture
def path(tmp_path):
    return tmp_path / 'model.npz'


def rewrite(path, **changed):
    """Change the description in a model.npz; the value None removes an entry."""
    with np.load(path) as stored:
        arrays = dict(stored)
    description = {**json.loads(arrays[DESCRIPTION].item()), **changed}
    arrays[DESCRIPTION] = np.array(json.dumps(
        {key: value for key, value in description.items() if value is not None}))
    np.savez(path, **arrays)


def test_a_loaded_network_reports_from_its_threshold_on(slim, path):
    save_model(path, slim, 'slim300', ('cat',), threshold=0.4)
    model = load_model(path)[0]
    assert model.threshold == model.score_thresh == 0.4


@pytest.mark.parametrize('threshold', [0, 1])
def test_the_ends_of_the_range_are_thresholds(slim, path, threshold):
    save_model(path, slim, 'slim300', ('cat',), threshold)
    assert load_model(path)[0].threshold == threshold


def test_a_file_without_a_threshold_is_loaded(slim, path):
    save_model(path, slim, 'slim300', ('cat',), threshold=0.4)
    rewrite(path, threshold=None)
    model = load_model(path)[0]
    assert (model.threshold, model.score_thresh) == (None, 0.6)


@pytest.mark.parametrize('threshold', [
    float('nan'), float('inf'), -0.1, 1.5, '0.5', True, [0.5]], ids=str)
def test_a_threshold_that_is_no_share_is_refused(slim, path, threshold):
    save_model(path, slim, 'slim300', ('cat',))
    rewrite(path, threshold=threshold)
    with pytest.raises(UserError) as error:
        load_model(path)
    message = str(error.value)
    assert message.startswith(f'{path}: the threshold must be a number from 0 to 1, got ')
    assert repr(threshold) in message and '\n' not in message


def test_a_network_that_reuses_another_has_no_threshold_yet(slim, path):
    save_model(path, slim, 'slim300', ('cat',), threshold=0.4)
    model = make_detector('slim300', 1)
    start(model, 'slim300', ('cat',), reuse=path)
    assert model.threshold is None


def test_an_exported_network_names_its_threshold(slim, path):
    pytest.importorskip('onnx.mapping', exc_type=ImportError)
    save_model(path, slim, 'slim300', ('cat',), threshold=0.4)
    model = load_model(path)[0]
    metadata = {entry.key: entry.value for entry in to_onnx(model, ('cat',)).metadata_props}
    assert json.loads(metadata['threshold']) == 0.4
