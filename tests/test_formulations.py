"""The published formulations against numbers from running the systems' own code."""
import pathlib

from multibox.losses import notebook, ssd_keras, ssd_pytorch, super_gradients
from multibox.losses.targets import match_targets

import chainer
import numpy as np
import pytest
from chainer.backends import cuda

GOLDEN = pathlib.Path(__file__).parent / 'golden'


def cases(system):
    return sorted(path.stem for path in GOLDEN.glob(f'{system}-*.npz'))


def close(actual, expected):
    np.testing.assert_allclose(cuda.to_cpu(actual), expected, rtol=2e-5)


def close_gradient(actual, expected, rtol=0):
    np.testing.assert_allclose(cuda.to_cpu(actual), expected, rtol=rtol, atol=2e-6)


def images(g, xp):
    """The objects of each image: (R, 5) arrays, corners and label."""
    rows = np.hstack((g['boxes'], g['labels'][:, None])).astype('f')
    return [xp.asarray(r) for r in np.split(rows, np.cumsum(g['n_obj'])[:-1])]


TORCH = [(ssd_pytorch, name) for name in cases('ssd_pytorch')] + [
    (notebook, name) for name in cases('notebook')]


def torch_loss(system, C):
    return system.MultiBoxLoss(*[C] if system is ssd_pytorch else [])


@pytest.mark.parametrize('system, name', TORCH, ids=lambda value: value if isinstance(value, str) else '')
def test_ssd_pytorch_and_notebook(xp, golden, system, name):
    g = golden(name)
    locs, confs = (chainer.Variable(xp.asarray(g[key])) for key in ('locs', 'confs'))
    loss = torch_loss(system, confs.shape[2])
    loss_l, loss_c = loss((locs, confs, xp.asarray(g['priors'])), images(g, xp))
    close(loss_l.array, g['loss_l'])
    close(loss_c.array, g['loss_c'])
    if 'ties' not in name:
        (loss_l + loss_c).backward()
        close_gradient(locs.grad, g['grad_loc'])
        close_gradient(confs.grad, g['grad_conf'])


@pytest.mark.parametrize('system, name', TORCH, ids=lambda value: value if isinstance(value, str) else '')
def test_torch_matches(xp, golden, system, name):
    g = golden(name)
    gt_locs, gt_labels = map(cuda.to_cpu, match_targets(
        images(g, xp), xp.asarray(g['priors']), system.match))
    np.testing.assert_array_equal(gt_labels, g['conf_t'])
    positive = gt_labels > 0
    np.testing.assert_allclose(gt_locs[positive], g['loc_t'][positive], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize('name', cases('ssd_keras'))
def test_ssd_keras(xp, golden, name):
    g = golden(name)
    y_pred = chainer.Variable(xp.asarray(g['y_pred']))
    loss = ssd_keras.SSDLoss(int(g['neg_pos_ratio']), int(g['n_neg_min']), float(g['alpha']))
    value = loss.compute_loss(xp.asarray(g['y_true']), y_pred)
    if 'ties' in name:
        close(cuda.to_cpu(value.array).sum(), g['loss'].sum())
    else:
        close(value.array, g['loss'])
        chainer.functions.sum(value).backward()
        close_gradient(y_pred.grad, g['grad_y_pred'], rtol=1e-4)


@pytest.mark.parametrize('name', cases('super_gradients'))
def test_super_gradients(xp, golden, name):
    g = golden(name)
    locs, confs = (chainer.Variable(xp.asarray(g[key].transpose(0, 2, 1))) for key in ('locs', 'confs'))
    loss = super_gradients.SSDLoss(xp.asarray(g['priors']), float(g['alpha']))
    targets = xp.asarray(g['targets'])
    for i in range(len(locs)):
        boxes, labels = map(cuda.to_cpu, loss.match_dboxes(targets[targets[:, 0] == i]))
        np.testing.assert_array_equal(labels, g['match_labels'][i])
        np.testing.assert_array_equal(boxes, g['match_boxes'][i])
    value, components = loss((locs, confs), targets)
    close(value.array, g['loss'])
    close(components, g['components'])
    if 'ties' not in name:
        value.backward()
        close_gradient(locs.grad, g['grad_loc'])
        close_gradient(confs.grad, g['grad_conf'])
