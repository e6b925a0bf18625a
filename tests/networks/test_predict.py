"""From images to detections: a batch on a GPU as image by image on a CPU."""
import types

from multibox.networks import make_detector
from multibox.networks.ssd import SSD
from multibox.resized import resize
from tests.support.networks import moderate_model

import chainercv.links.model.ssd
import numpy as np
import pytest


@pytest.fixture(scope='module')
def photos():
    rng = np.random.default_rng(0)
    return [rng.integers(0, 256, (3, *size)).astype(dtype)
            for size, dtype in (((90, 120), np.uint8), ((300, 300), 'f'), ((500, 60), 'f'))]


@pytest.fixture(scope='module')
def model():
    model = moderate_model(3)
    model.score_thresh = .3
    return model


def test_detections_are_those_of_chainercvs_predict(model, photos):
    expected = chainercv.links.model.ssd.SSD.predict(model, photos)
    for part, theirs in zip(model.predict(iter(photos)), expected, strict=True):
        for array, other in zip(part, theirs, strict=True):
            assert len(array) and array.dtype == other.dtype
            np.testing.assert_array_equal(array, other)


def test_the_input_is_prepared_as_by_chainercv(photos):
    model = make_detector('slim300', 1)
    for photo in photos:
        expected = chainercv.links.model.ssd.SSD._prepare(model, photo)
        np.testing.assert_array_equal(model._prepare(photo), expected)


def test_a_gpu_gets_the_input_of_a_cpu_in_one_array(model, photos, monkeypatch):
    batch = [*photos[:2], resize(photos[2], model.insize)]
    expected = model._prepare_all(batch)
    sent = []
    monkeypatch.setattr(SSD, 'xp', types.SimpleNamespace(
        array=lambda arrays: sent.append(arrays) or np.array(arrays), asarray=np.asarray))
    np.testing.assert_array_equal(model._prepare_all(batch), expected)
    (arrays,) = sent
    assert type(arrays) is list and all(array.dtype == np.float32 for array in arrays)


@pytest.mark.gpu
def test_a_gpu_detects_as_a_cpu(gpu, photos):
    model = moderate_model(3)
    model.use_preset('evaluate')
    expected = model.predict(photos)
    model.to_device(gpu)
    waits = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr('chainer.backends.cuda.to_cpu', count_calls(waits))
        found = model.predict(photos)
    assert len(waits) == 2
    for part, others in zip(found, expected, strict=True):
        assert all(type(array) is np.ndarray for array in part)
        counts = [[len(array) for array in each] for each in (part, others)]
        np.testing.assert_allclose(*counts, rtol=.1)


def count_calls(calls):
    def get(array):
        calls.append(array.shape)
        return array.get()
    return get
