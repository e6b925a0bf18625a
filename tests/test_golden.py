"""Values, gradients and matches of four formulations against those of the original code."""
import pathlib

from multibox.losses import notebook, ssd_keras, ssd_pytorch, super_gradients
from multibox.losses.matching_loss import match_targets

import chainer
import chainer.functions as F
import numpy as np
import pytest
from chainer.backends import cuda

FILES = sorted(path.stem for path in (pathlib.Path(__file__).parent / 'golden').glob('*.npz'))
TORCH = [name for name in FILES if name.startswith(('ssd_pytorch', 'notebook'))]


def golden_files(system):
    return [name for name in FILES if name.startswith(system)]


def variables(xp, *arrays):
    return [chainer.Variable(xp.asarray(array)) for array in arrays]


def assert_value(actual, expected):
    np.testing.assert_allclose(cuda.to_cpu(actual.array), expected, rtol=2e-5)


def assert_gradient(variable, expected, rtol=0):
    np.testing.assert_allclose(cuda.to_cpu(variable.grad), expected, rtol=rtol, atol=2e-6)


def objects_by_image(xp, g):
    rows = np.hstack((g['boxes'], g['labels'][:, None])).astype('f')  # corners, label
    return [xp.asarray(image) for image in np.split(rows, np.cumsum(g['n_obj'])[:-1])]


@pytest.mark.parametrize('system, n_file', [
    ('ssd_pytorch', 6), ('notebook', 6), ('ssd_keras', 15), ('super_gradients', 13)])
def test_no_file_is_missing(system, n_file):
    assert len(golden_files(system)) == n_file


@pytest.mark.parametrize('name', TORCH)
def test_ssd_pytorch_and_the_notebook(xp, golden, name):
    g = golden(name)
    locs, confs = variables(xp, g['locs'], g['confs'])
    loss = (notebook.MultiBoxLoss() if name.startswith('notebook')
            else ssd_pytorch.MultiBoxLoss(num_classes=confs.shape[2]))
    loss_l, loss_c = loss((locs, confs, xp.asarray(g['priors'])), objects_by_image(xp, g))
    assert_value(loss_l, g['loss_l'])
    assert_value(loss_c, g['loss_c'])
    if 'ties' not in name:  # the original code may mine any of several equal boxes
        (loss_l + loss_c).backward()
        assert_gradient(locs, g['grad_loc'])
        assert_gradient(confs, g['grad_conf'])


@pytest.mark.parametrize('name', TORCH)
def test_matches_of_ssd_pytorch_and_the_notebook(xp, golden, name):
    g = golden(name)
    system = notebook if name.startswith('notebook') else ssd_pytorch
    gt_locs, gt_labels = map(cuda.to_cpu, match_targets(
        objects_by_image(xp, g), xp.asarray(g['priors']), system.match))
    np.testing.assert_array_equal(gt_labels, g['conf_t'])
    positive = gt_labels > 0
    np.testing.assert_allclose(gt_locs[positive], g['loc_t'][positive], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize('name', golden_files('ssd_keras'))
def test_ssd_keras(xp, golden, name):
    g = golden(name)
    y_pred, = variables(xp, g['y_pred'])
    loss = ssd_keras.SSDLoss(*(g[key].item() for key in ('neg_pos_ratio', 'n_neg_min', 'alpha')))
    value = loss.compute_loss(xp.asarray(g['y_true']), y_pred)
    if 'ties' in name:  # the mined one of several equal boxes may lie in any image
        assert_value(F.sum(value), g['loss'].sum())
    else:
        assert_value(value, g['loss'])
        F.sum(value).backward()
        assert_gradient(y_pred, g['grad_y_pred'], rtol=1e-4)


@pytest.mark.parametrize('name', golden_files('super_gradients'))
def test_super_gradients(xp, golden, name):
    g = golden(name)
    locs, confs = variables(xp, *(g[key].transpose(0, 2, 1) for key in ('locs', 'confs')))
    loss = super_gradients.SSDLoss(xp.asarray(g['priors']), alpha=g['alpha'].item())
    value, components = loss((locs, confs), xp.asarray(g['targets']))
    assert_value(value, g['loss'])
    assert_value(components, g['components'])
    if 'ties' not in name:
        value.backward()
        assert_gradient(locs, g['grad_loc'])
        assert_gradient(confs, g['grad_conf'])


@pytest.mark.parametrize('name', golden_files('super_gradients'))
def test_matches_of_super_gradients(xp, golden, name):
    g = golden(name)
    loss = super_gradients.SSDLoss(xp.asarray(g['priors']))
    for i, expected in enumerate(zip(g['match_boxes'], g['match_labels'])):
        matched = loss.match_dboxes(xp.asarray(g['targets'][g['targets'][:, 0] == i]))
        for actual, golden_array in zip(matched, expected):
            np.testing.assert_array_equal(cuda.to_cpu(actual), golden_array)
