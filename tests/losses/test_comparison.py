"""The comparison of two formulations finds the weights of boxes and the first cause."""
import pathlib

from multibox.errors import UserError
from multibox.losses import LOSSES
from multibox.losses.__main__ import main
from multibox.losses.comparison import compare, weigh_boxes
from tests.support.formulation_cases import random_case

import numpy as np
import pytest

GOLDEN = pathlib.Path(__file__).parents[1] / 'golden'
KEYS = 'mb_locs', 'mb_confs', 'gt_mb_locs', 'gt_mb_labels'


def batch(**kwargs):
    return dict(zip(KEYS, random_case(**kwargs)))


def first_cause(one, other, **kwargs):
    return compare(one, other, batch(**kwargs))[-1]


def test_a_box_of_chainercv_weighs_one_over_the_positives():
    case = batch(K=200)
    weights = weigh_boxes('chainercv', **case)
    n = (case['gt_mb_labels'] > 0).sum()
    assert set(np.round(weights.conf_weight * n, 6).ravel()) == {0, 1}
    assert (weights.conf_weight > 0).sum() == 4 * n
    np.testing.assert_allclose(weights.loc_weight, (case['gt_mb_labels'] > 0) / n, rtol=1e-6)


@pytest.mark.parametrize('name, loc_per_positive', [('sgrvinod', 1 / 4), ('tf_od', 1)])
def test_other_losses_of_a_box_are_recognised(name, loc_per_positive):
    case = batch()
    weights = weigh_boxes(name, **case)
    positive = case['gt_mb_labels'] > 0
    np.testing.assert_allclose(weights.loc_weight, positive * loc_per_positive / positive.sum(),
                               rtol=1e-6)
    np.testing.assert_allclose(weights.conf_weight[positive], 1 / positive.sum(), rtol=1e-6)


@pytest.mark.parametrize('one, other, case, cause', [
    ('caffe', 'chainercv', {}, 'none'),
    ('ssd_keras', 'chainercv', {'K': 200}, 'mining'),
    ('torchvision', 'notebook', {'p_positive': .6}, 'repetition'),
    ('super_gradients', 'chainercv', {'K': 200}, 'divisor, image by image'),
    ('nvidia', 'super_gradients', {'p_positive': .6}, 'repetition'),
    ('d2l', 'chainercv', {'p_positive': .6}, 'divisor'),
    ('tf_od', 'chainercv', {'p_positive': .6}, 'the confidence loss'),
    ('sgrvinod', 'chainercv', {}, 'the localisation loss')])
def test_the_first_cause_is_found(one, other, case, cause):
    assert first_cause(one, other, **case).startswith(f'first cause: {cause}')


def test_the_box_that_one_formulation_alone_mines_is_named():
    case = batch(B=1, K=6, C=2, p_positive=0)
    case['gt_mb_labels'][0, 3] = 1
    case['mb_confs'][:] = 0
    case['mb_confs'][0, :, 1] = 5, 4, 3, 0, 2, 1
    line = compare('d2l', 'chainercv', case)[-1]
    assert line == ('first cause: mining; d2l alone counts the negative box 4 of image 0')


@pytest.mark.parametrize('one, other, where, added, cause', [
    ('ssd_pytorch', 'notebook', (0, 0), 300, 'mining'),
    ('super_gradients', 'nvidia', (..., 0), 25, 'repetition')])
def test_defects_of_single_precision_are_found_in_single_precision(one, other, where, added, cause):
    case = batch(B=2, K=200)
    case['mb_confs'][where] += added
    assert compare(one, other, case)[-1].startswith(f'first cause: {cause}')
    case['mb_confs'] = case['mb_confs'].astype(np.float64)
    assert compare(one, other, case)[-1].startswith('first cause: none')


def test_a_loss_that_is_not_finite_is_named():
    case = batch()
    case['mb_confs'][case['gt_mb_labels'] > 0] = np.nan
    line = compare('notebook', 'mmdet', case)[-1]
    assert line == 'first cause: the loss of notebook is not finite'


def test_default_boxes_reach_the_formulation_that_takes_them():
    case = batch(B=1, K=50)
    case['mb_locs'][:] = 0
    priors = np.tile(np.array([[.5, .5, .2, .2]], 'f'), (50, 1))  # all predicted boxes coincide
    alone = compare('tf_od', 'notebook', case)
    assert alone != compare('tf_od', 'notebook', {**case, 'priors': priors})


def test_every_pair_can_be_compared():
    case = batch(B=2, K=20)
    for name in LOSSES:
        assert len(compare(name, 'chainercv', case)) == 7


def test_the_command_reads_a_golden_file(capsys):
    main(['compare', 'mmdet', 'notebook', '--batch', str(GOLDEN / 'mmdet-empty_image.npz')])
    said = capsys.readouterr().out
    assert 'first cause: divisor; a box weighs 0.9167 times as much in mmdet as in notebook' in said


@pytest.mark.parametrize('arrays, error', [
    ({'mb_locs': np.zeros((1, 2, 4))}, 'lacks mb_confs, gt_mb_locs, gt_mb_labels'),
    ({**batch(), 'gt_mb_labels': np.full((3, 30), 9)}, 'gt_mb_labels must lie in'),
    ({**batch(), 'mb_locs': np.zeros((3, 30, 4), int)}, 'mb_locs must be float16'),
    ({**batch(), 'k': np.array('three')}, 'k must be one number'),
    ({**batch(), 'k': np.array([1, 2])}, 'k must be one number')])
def test_a_bad_batch_is_named(tmp_path, arrays, error):
    np.savez(tmp_path / 'batch.npz', **arrays)
    with pytest.raises(UserError, match=f'batch.npz: .*{error}'):
        main(['compare', 'caffe', 'd2l', '--batch', str(tmp_path / 'batch.npz')])


@pytest.mark.parametrize('content, error', [
    (b'', 'not a readable .npz file'), (b'PK\x03\x04', 'not a readable .npz file'),
    (None, 'no such file')], ids=['empty', 'cut off', 'missing'])
def test_a_file_that_is_no_batch_is_named(tmp_path, content, error):
    path = tmp_path / 'batch.npz'
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UserError, match=f'batch.npz: {error}'):
        main(['compare', 'caffe', 'd2l', '--batch', str(path)])
