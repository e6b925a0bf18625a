"""lite300: the maps of its trunk against the original's, its shapes, its frozen blocks."""
from multibox import engines
from multibox.networks import make_detector
from multibox.networks.efficientnet import EfficientNetLite0
from multibox.training import make_optimizer
from multibox.weights import efficientnet
from multibox.weights.fitting import fill
from tests.support.networks import forward

import chainer
import chainer.functions as F
import numpy as np
import pytest


@pytest.fixture(scope='module')
def lite():
    np.random.seed(0)
    model = make_detector('lite300', 2)
    fill(model, efficientnet.read(), 'imagenet')
    return model


def train_step(model):
    """Compute the gradients of a sum over the outputs for two images."""
    model.cleargrads()
    imgs = np.random.default_rng(0).uniform(-120, 120, (2, 3, 300, 300)).astype('f')
    mb_locs, mb_confs = model(imgs)
    (F.sum(mb_locs) + F.sum(mb_confs)).backward()


def test_lite_has_the_shapes_of_ssd300(lite):
    mb_locs, mb_confs = forward(lite)
    assert mb_locs.shape == (2, 8732, 4) and mb_confs.shape == (2, 8732, 3)


@pytest.mark.parametrize('engine', ['onednn', 'blas', 'chainer'])
def test_maps_are_those_of_the_original_network(lite, golden, engine):
    missing = [each.missing() for each in engines.ENGINES[engine] if each.missing()]
    if missing:
        pytest.skip(str(missing))
    imgs = np.random.default_rng(0).integers(0, 256, (2, 3, 300, 300)).astype('f')
    expected = golden('efficientnet_lite0-maps')
    with engines.using(engine), chainer.no_backprop_mode():
        maps = lite.extractor.trunk(imgs - lite.mean)
    for name, actual in zip(('block4', 'block10', 'block15'), maps):
        scale = abs(expected[name]).max()
        np.testing.assert_allclose(actual.array[0, ::8], expected[name], rtol=1e-4,
                                   atol=1e-5 * scale)


def test_frozen_blocks_get_no_gradient_and_the_others_do(lite):
    lite.extractor.trunk.freeze(6)
    train_step(lite)
    with_gradient = [part for part in lite.extractor.trunk.parts
                     if all(parameter.grad is not None for parameter in part.params())]
    assert with_gradient == [*lite.extractor.trunk.blocks][5:]


def test_freezing_changes_no_gradient_of_the_other_parameters(lite):
    gradients = []
    for n in 0, 6:
        lite.extractor.trunk.freeze(n)
        train_step(lite)
        gradients.append(lite.extractor.trunk.blocks[5].expand.W.grad)
    np.testing.assert_array_equal(*gradients)


def test_an_optimizer_leaves_frozen_blocks_as_they_are(lite):
    optimizer = make_optimizer('adam', lite, 1e-3, weight_decay=0.1)
    lite.freeze(6)
    before = {name: parameter.array.copy() for name, parameter in lite.namedparams()}
    train_step(lite)
    optimizer.update()
    changed = {name for name, parameter in lite.namedparams()
               if not np.array_equal(parameter.array, before[name])}
    frozen = {f'/extractor/trunk/{part}/' for part in ('stem', *(f'blocks/{i}' for i in range(5)))}
    assert changed and not any(name.startswith(tuple(frozen)) for name in changed)


def test_padding_is_that_of_tensorflow():
    trunk = EfficientNetLite0()
    shapes = [h.shape[2:] for h in trunk(np.zeros((1, 3, 224, 300), 'f'))]
    assert shapes == [(28, 38), (14, 19), (7, 10)]
