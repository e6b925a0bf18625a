"""compat restores missing names and changes no existing ones."""
import importlib
import sys
import types

from multibox import compat

import chainer.functions as F
import numpy as np
import pytest
from chainercv.utils import bbox_iou


def test_chainer_chainercv_and_chainermn_import():
    for name in ('chainer', 'chainercv', 'chainermn'):
        assert importlib.import_module(name)


def test_importing_compat_twice_changes_nothing():
    before = {name: vars(np)[name] for name in ('bool', 'int', 'sctypes')}
    modules = dict(sys.modules)
    importlib.reload(compat)
    assert {name: vars(np)[name] for name in before} == before
    assert {name: module for name, module in sys.modules.items() if name in modules} == modules


def test_only_missing_numpy_names_are_restored():
    module = types.SimpleNamespace(int='kept', sctypes='kept')
    compat.restore_numpy_names(module)
    assert (module.int, module.sctypes) == ('kept', 'kept')
    assert (module.bool, module.float, module.object) == (bool, float, object)


def test_chainers_as_strided_finds_sctypes():
    x = F.as_strided(np.arange(4, dtype='f'), (2, 2), (2, 1))
    np.testing.assert_array_equal(x.array, [[0, 1], [2, 3]])


def overlap_bits(bbox, thresh):
    """The mask that ChainerCV's kernel writes. Row i has one bit per later box j.

    It is bit j % 64 of word j // 64, and says that the boxes overlap.
    """
    n = len(bbox)
    col_blocks = -(-n // 64)
    mask = np.zeros((n, col_blocks), np.uint64)
    for i, j in zip(*np.nonzero(np.triu(bbox_iou(bbox, bbox) >= thresh, k=1))):
        mask[i, j // 64] |= np.uint64(1) << np.uint64(j % 64)
    return mask.reshape(-1), n, 64, col_blocks


def slow_suppression(bbox, thresh):
    kept = []
    for i in range(len(bbox)):
        if all(bbox_iou(bbox[[i]], bbox[[j]])[0, 0] < thresh for j in kept):
            kept.append(i)
    return kept


@pytest.mark.parametrize('n', [1, 2, 63, 64, 65, 130, 300])
def test_nms_gpu_post_keeps_what_greedy_suppression_keeps(n):
    rng = np.random.RandomState(n)
    corner = rng.uniform(0, 60, (n, 2))
    bbox = np.hstack((corner, corner + rng.uniform(10, 40, (n, 2)))).astype('f')
    selection, n_selection = compat.nms_gpu_post(*overlap_bits(bbox, .45))
    assert selection.dtype == np.int32 and selection.shape == (n,)
    assert selection[:n_selection].tolist() == slow_suppression(bbox, .45)


def test_nms_gpu_post_uses_the_highest_bit():
    bbox = np.zeros((64, 4), 'f')
    bbox[:, 0] = bbox[:, 1] = np.arange(64) * 10
    bbox[:, 2:] = bbox[:, :2] + 5
    bbox[63] = bbox[0]
    selection, n_selection = compat.nms_gpu_post(*overlap_bits(bbox, .45))
    assert selection[:n_selection].tolist() == list(range(63))


def test_chainercv_finds_an_nms_post_processing():
    module = importlib.import_module('chainercv.utils.bbox._nms_gpu_post')
    assert callable(module._nms_gpu_post)


@pytest.mark.parametrize('available', [True, False])
def test_raw_kernels_are_given_half_where_there_is_a_gpu(available):
    cuda = types.SimpleNamespace(available=available,
                                 raw=lambda code, name, options=(): (name, code))
    compat.declare_half(cuda)
    assert cuda.raw('code', 'name', options=()) == (
        'name', '#include <cuda_fp16.h>\n' * available + 'code')
