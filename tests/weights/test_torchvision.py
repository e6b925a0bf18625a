"""The vgg16 of torchvision as the trunk of an SSD300."""
from multibox.errors import UserError
from multibox.networks import make_detector
from multibox.networks.ssd import IMAGENET_MEAN
from multibox.weights import read, start
from multibox.weights.__main__ import main
from multibox.weights.torchvision import INDICES, reduce_classifier
from tests.support.torch_files import View, write

import numpy as np
import pytest

CHANNELS = 64, 64, 128, 128, 256, 256, 256, 512, 512, 512, 512, 512, 512
NOTHING = np.zeros(512 * 512 * 9, 'f')


@pytest.fixture(scope='module')
def state():
    """The convolutions of a vgg16; all but the first and the last hold one number."""
    rng, state, n_in = np.random.RandomState(0), {}, 3
    for i, n_out in zip(INDICES, CHANNELS):
        shape = n_out, n_in, 3, 3
        strides = n_in * 9, 9, 3, 1
        state[f'features.{i}.weight'] = View(NOTHING, 0, shape, strides)
        state[f'features.{i}.bias'] = rng.normal(size=n_out).astype('f')
        n_in = n_out
    state['features.0.weight'] = rng.normal(size=(64, 3, 3, 3)).astype('f')
    state['features.28.weight'] = rng.normal(size=(512, 512, 3, 3)).astype('f')
    return state


def torchvisions_conv1_1(image, W, b):
    """Scale (3, H, W) RGB from 0 to 255 as torchvision does, and convolve its inside, slowly."""
    x = image / 255
    for c, (mean, std) in enumerate([(0.485, 0.229), (0.456, 0.224), (0.406, 0.225)]):
        x[c] = (x[c] - mean) / std
    _, height, width = x.shape
    y = np.empty((len(W), height - 2, width - 2))
    for i in range(height - 2):
        for j in range(width - 2):
            for out in range(len(W)):
                y[out, i, j] = (W[out].astype(float) * x[:, i:i + 3, j:j + 3]).sum() + b[out]
    return y


def test_the_first_convolution_gives_its_outputs(state, tmp_path, capsys):
    write(tmp_path / 'vgg16.pth', state)
    model = make_detector('ssd300', 2)
    said = start(model, 'ssd300', 'ab', str(tmp_path / 'vgg16.pth'))
    assert '26 of 71 parameters taken' in said
    assert 'folded into conv1_1, which is exact but for the pixels at the' in capsys.readouterr()[0]
    image = np.random.RandomState(1).uniform(0, 255, (3, 7, 9))
    expected = torchvisions_conv1_1(image.copy(), state['features.0.weight'],
                                    state['features.0.bias'])
    y = model.extractor.conv1_1((image - IMAGENET_MEAN).astype('f')[None]).array[0]
    np.testing.assert_allclose(y[:, 1:-1, 1:-1], expected, rtol=1e-4, atol=1e-4)
    np.testing.assert_array_equal(model.extractor.conv5_3.W.array, state['features.28.weight'])


def test_the_convolutions_become_a_trunk(state, tmp_path, capsys):
    write(tmp_path / 'vgg16.pth', state)
    main(['convert', str(tmp_path / 'vgg16.pth'), '--out', str(tmp_path / 'x.npz')])
    assert 'matched    26 of 71' in capsys.readouterr()[0]


def test_the_classifier_is_reduced_as_in_the_paper():
    rng = np.random.RandomState(0)
    W6, b6 = rng.normal(size=(8, 2 * 49)), rng.normal(size=8)
    W7, b7 = rng.normal(size=(8, 8)), rng.normal(size=8)
    found = reduce_classifier(W6, b6, W7, b7)
    for out in range(2):
        for channel in range(2):
            for i in range(3):
                for j in range(3):
                    assert found['extractor/conv6/W'][out, channel, i, j] == W6[
                        4 * out, 49 * channel + 7 * 3 * i + 3 * j]
            assert found['extractor/conv7/W'][out, channel, 0, 0] == W7[4 * out, 4 * channel]
        assert found['extractor/conv6/b'][out] == b6[4 * out]
        assert found['extractor/conv7/b'][out] == b7[4 * out]
    assert [found[f'extractor/conv{n}/W'].shape for n in (6, 7)] == [(2, 2, 3, 3), (2, 2, 1, 1)]


def classifier(n=8):
    W6 = np.arange(n * 25088).reshape(n, 25088).astype('f')
    return {'classifier.0.weight': W6, 'classifier.0.bias': np.ones(n, 'f'),
            'classifier.3.weight': np.ones((n, n), 'f'), 'classifier.3.bias': np.ones(n, 'f'),
            'classifier.6.bias': np.ones(1000, 'f')}


def test_a_classifier_gives_conv6_and_conv7(state, tmp_path, capsys):
    write(tmp_path / 'vgg16.pth', {**state, **classifier()})
    found = read(str(tmp_path / 'vgg16.pth'))
    assert found['extractor/conv6/W'].shape == (2, 512, 3, 3)
    assert found['extractor/conv7/W'].shape == (2, 2, 1, 1)
    assert 'conv6 and conv7 are every third row' in capsys.readouterr()[0]


@pytest.mark.parametrize('value', [np.nan, 0])
def test_the_convolutions_of_caffe_are_not_scaled(state, tmp_path, capsys, value):
    empty = {name: np.full_like(array, value) for name, array in classifier().items()}
    write(tmp_path / 'vgg16_features.pth', {**state, **empty})
    found = read(str(tmp_path / 'vgg16_features.pth'))
    np.testing.assert_array_equal(found['extractor/conv1_1/W'], state['features.0.weight'])
    assert 'extractor/conv6/W' not in found
    assert 'taken as they are' in capsys.readouterr()[0]


@pytest.mark.parametrize('more', ['features.1.weight', 'features.30.weight'], ids=['bn', '19'])
def test_another_vgg_is_refused(state, tmp_path, more):
    write(tmp_path / 'vgg.pth', {**state, more: np.ones(64, 'f')})
    with pytest.raises(UserError, match="is a VGG of torchvision, but not vgg16; give torchvision"):
        read(str(tmp_path / 'vgg.pth'))


def test_torchvisions_ssd300_is_refused_with_the_reason(tmp_path):
    write(tmp_path / 'ssd.pth', {'backbone.features.0.weight': np.zeros((64, 3, 3, 3), 'f'),
                                 'backbone.scale_weight': np.zeros(512, 'f')})
    with pytest.raises(UserError, match="ssd300_vgg16, whose layers and default boxes differ"):
        read(str(tmp_path / 'ssd.pth'))
