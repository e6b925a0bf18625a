"""The kernels of the loss and the functions that launch them, against the CPU and definitions."""
import types

from multibox import kernels, multibox_loss
from multibox.engines import kernels as launching
from multibox.losses import LOSSES
from multibox.losses import gpu as gpu_loss
from tests.support.loss_cases import CASES, FakeCommunicator, random_case

import chainer
import chainer.functions as F
import numpy as np
import pytest
from chainer.backends import cuda
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

SHAPES = [(1, 301, 2), (3, 301, 21), (3, 70, 20), (1, 300, 81), (3, 41, 201), (1, 1, 5000),
          (2, 33, 1024)]


@pytest.fixture(autouse=True)
def fill_new_arrays(kernel_xp, monkeypatch):
    """Fill new arrays with nan, -1 or True: an element that no kernel writes then shows."""
    def full_of_ones(*args, empty=kernel_xp.empty, **kwargs):
        array = empty(*args, **kwargs)
        array.reshape(-1).view(np.uint8)[:] = 255
        return array
    monkeypatch.setattr(kernel_xp, 'empty', full_of_ones)


@pytest.fixture
def composed(monkeypatch):
    """Compute the loss from its terms, as on a CPU, instead of by the kernels of the whole loss."""
    monkeypatch.setattr('multibox.losses.chainercv.gpu', types.SimpleNamespace(
        takes=lambda *arrays: False))


def loss_and_gradients(xp, case, k=3, loss=multibox_loss, weights=(.7, -1.3), **kwargs):
    """The two terms and the gradients of their weighted sum, as NumPy arrays."""
    mb_locs, mb_confs, *targets = map(xp.asarray, case)
    predictions = chainer.Variable(mb_locs), chainer.Variable(mb_confs)
    terms = loss(*predictions, *targets, k, **kwargs)
    sum(w * F.sum(term) for w, term in zip(weights, terms)).backward()
    return [cuda.to_cpu(x) for x in (*(term.array for term in terms),
                                     *(prediction.grad for prediction in predictions))]


def on_cpu(monkeypatch, case, *args, **kwargs):
    with monkeypatch.context() as patch:
        patch.setattr(launching, 'is_on_gpu', lambda array: False)
        return loss_and_gradients(np, case, *args, **kwargs)


def cast(case, dtype):
    return [x.astype(dtype) if x.dtype.kind == 'f' else x for x in case]


def assert_all_close(actual, expected, rtol=1e-5, atol=1e-7):
    for one, other in zip(actual, expected):
        if one is None or other is None:
            assert one is other
            continue
        assert one.shape == other.shape
        np.testing.assert_allclose(one.astype('d'), other, rtol=rtol, atol=atol)


@pytest.mark.parametrize('shape', SHAPES, ids=str)
def test_the_loss_equals_the_cpus_in_double_precision(kernel_xp, monkeypatch, shape):
    case = random_case(*shape, p_positive=.1, seed=0, p_ignored=.1)
    actual = loss_and_gradients(kernel_xp, case)
    assert [x.dtype for x in actual] == [np.float32] * 4
    assert_all_close(actual, on_cpu(monkeypatch, cast(case, 'd')))


@pytest.mark.parametrize('k', [0, .3, 1.5, 100, np.inf, 10 ** 20], ids=str)
@pytest.mark.parametrize('p_positive', [0, .02, .6], ids='{} positive'.format)
def test_any_ratio_and_any_number_of_positives(kernel_xp, monkeypatch, k, p_positive):
    case = random_case(3, 40, 5, p_positive, seed=1)
    case[3][1] = 0  # an image without positives among others
    assert_all_close(loss_and_gradients(kernel_xp, case, k), on_cpu(monkeypatch, case, k))


@pytest.mark.parametrize('case', CASES)
def test_values_and_gradients_are_chainercvs(kernel_xp, golden, case):
    g = golden(f'chainercv-{case}')
    case = [g[key] for key in ('mb_locs', 'mb_confs', 'gt_mb_locs', 'gt_mb_labels')]
    assert_all_close(loss_and_gradients(kernel_xp, case, g['k'].item(), weights=(1, 1)),
                     [g[key] for key in ('loc_loss', 'conf_loss', 'grad_loc', 'grad_conf')],
                     atol=1e-6)


@pytest.mark.parametrize('where', [0, 1, 2], ids=['mb_locs', 'mb_confs', 'gt_mb_locs'])
@pytest.mark.parametrize('bad', [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize('k', [1, 100])
def test_numbers_that_are_not_finite_act_as_on_the_cpu(kernel_xp, monkeypatch, where, bad, k):
    case = random_case(2, 40, 5, .2, seed=2)
    case[where][:, ::3, 1] = bad
    case[where][:, 1::3] = bad
    with np.errstate(all='ignore'):
        assert_all_close(loss_and_gradients(kernel_xp, case, k), on_cpu(monkeypatch, case, k))


def test_equal_boxes_are_mined_from_the_first(kernel_xp, monkeypatch):
    mb_locs, mb_confs, gt_mb_locs, labels = random_case(3, 300, 4, .02, seed=3)
    case = mb_locs, mb_confs[:, np.arange(300) % 5], gt_mb_locs, labels
    actual = loss_and_gradients(kernel_xp, case, 7)
    expected = on_cpu(monkeypatch, case, 7)
    assert_all_close(actual, expected)
    np.testing.assert_array_equal(actual[3] == 0, expected[3] == 0)


@pytest.mark.parametrize('dtype', ['float16', 'bfloat16'])
def test_half_precision_is_summed_in_single(kernel_xp, monkeypatch, dtype):
    if dtype == 'bfloat16':
        dtype = pytest.importorskip('ml_dtypes').bfloat16
    mb_locs, mb_confs, *targets = random_case(2, 301, 21, .1, seed=4)
    mb_confs = mb_confs * 10  # sums of exponentials far beyond float16
    half = [mb_locs.astype(dtype), mb_confs.astype(dtype), *targets]
    actual = loss_and_gradients(kernel_xp, half)
    assert [x.dtype for x in actual] == [np.float32] * 2 + [dtype] * 2
    expected = on_cpu(monkeypatch, cast(half[:2], 'f') + targets if dtype == 'float16' else [
        x.astype('f') for x in half[:2]] + targets)
    assert_all_close(actual[:2], expected[:2])
    epsilon = 2. ** -11 if dtype == 'float16' else 2. ** -8
    assert_all_close(actual[2:], expected[2:], rtol=epsilon, atol=2 ** -25)


@pytest.mark.parametrize('dtype, rtol', [('f', 1e-5), ('e', 2 ** -11)])
def test_cross_entropy_and_its_gradient_skip_ignored_boxes(
        kernel_xp, dtype, rtol):
    rng = np.random.RandomState(12)
    far = rng.choice([-1e4, 0, 1e4], (3, 90, 1))  # float32 cannot hold their exponentials
    logits, labels = (rng.normal(size=(3, 90, 7)) + far).astype(dtype), rng.randint(-1, 7, (3, 90))
    weight = rng.normal(size=(3, 90)) * rng.randint(0, 2, (3, 90))
    one_hot = np.eye(7)[labels]
    softmax = np.exp(logits - far)
    softmax /= softmax.sum(axis=2, keepdims=True)
    on_gpu = [kernel_xp.asarray(x) for x in (logits, labels)]
    loss = gpu_loss.cross_entropy(*on_gpu)
    grad = gpu_loss.cross_entropy_gradient(*on_gpu, kernel_xp.asarray(weight))
    assert_all_close(map(cuda.to_cpu, (loss, grad)), (
        -np.log((softmax * one_hot).sum(axis=2)) * (labels >= 0),
        (softmax - one_hot) * (weight * (labels >= 0))[..., None]), rtol)
    assert grad.dtype == dtype


@pytest.mark.parametrize('C', [21, 201, 600, 1024, gpu_loss.TILE - 1])
def test_blocks_fit_in_shared_memory_and_begin_at_16_bytes(monkeypatch, C):
    launched = []
    monkeypatch.setattr(launching, 'launch', lambda *args: launched.append(args))
    gpu_loss.cross_entropy(np.zeros((1, C), 'f'), np.zeros(1, 'i'))
    n_row = launched[0][-1]
    assert 0 < n_row * (C | 1) <= gpu_loss.TILE and n_row <= gpu_loss.BLOCK
    assert n_row % 8 == 0 or n_row < 8


def test_a_label_that_no_class_has_gives_nan(kernel_xp):
    labels = kernel_xp.asarray([0, 3, 99], 'i')
    loss = gpu_loss.cross_entropy(kernel_xp.zeros((3, 3), 'f'), labels)
    assert np.isnan(cuda.to_cpu(loss)).tolist() == [False, True, True]


def test_logits_anywhere_in_memory_and_in_any_order(kernel_xp):
    logits = np.random.RandomState(0).normal(size=3 * 300 * 7 + 1).astype('f')
    labels = kernel_xp.asarray(np.arange(900) % 7, 'i').reshape(3, 300)
    aligned = kernel_xp.asarray(logits[1:]).reshape(3, 300, 7)
    one_off = kernel_xp.asarray(logits)[1:].reshape(3, 300, 7)
    classes_first = kernel_xp.ascontiguousarray(aligned.transpose(2, 0, 1)).transpose(1, 2, 0)
    weight = kernel_xp.asarray(np.arange(900) % 3, 'f').reshape(3, 300)
    for x in (one_off, classes_first):
        for function, args in ((gpu_loss.cross_entropy, ()),
                               (gpu_loss.cross_entropy_gradient, (weight,))):
            np.testing.assert_array_equal(cuda.to_cpu(function(x, labels, *args)),
                                          cuda.to_cpu(function(aligned, labels, *args)))


def test_the_whole_loss_of_arrays_in_any_order(kernel_xp, monkeypatch):
    case = random_case(2, 40, 5, .2, seed=14)
    in_any_order = [kernel_xp.asfortranarray(kernel_xp.asarray(x)) for x in case]
    assert_all_close(loss_and_gradients(kernel_xp, in_any_order), on_cpu(monkeypatch, case))


@settings(deadline=None, max_examples=60,
          suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(1, 3), st.integers(1, 2500), st.sampled_from([1, 3, 1000]),
       st.integers(0, 2 ** 31))
def test_n_largest_marks_the_first_of_equal_values(kernel_xp, B, K, n_level, seed):
    rng = np.random.RandomState(seed)
    levels = np.concatenate([[-np.inf, -0., 0., 3e38, 1e-45], rng.normal(size=n_level)])
    values = rng.choice(levels, (B, K)).astype('f')
    n = rng.choice([-1, 0, .5, 1, 2.5, K // 3, K // 2, K, K + .5, 1e300], B)
    rank = np.argsort(np.argsort(-values, axis=1, kind='stable'), axis=1)
    np.testing.assert_array_equal(
        cuda.to_cpu(gpu_loss.n_largest(kernel_xp.asarray(values), kernel_xp.asarray(n))),
        (rank < np.ceil(n)[:, None]) & (values > -np.inf))


def test_zeros_of_either_sign_are_equal(kernel_xp):
    zeros = kernel_xp.asarray([[-0., 0., -0., 0.]], 'f')
    marked = gpu_loss.n_largest(zeros, kernel_xp.asarray([2]))
    assert marked.tolist() == [[True, True, False, False]]


def test_a_ratio_is_a_double(kernel_xp):
    mb_locs, mb_confs, gt_mb_locs, labels = random_case(1, 40, 3, 0, seed=13)
    labels[0, :10] = 1  # 10 * .1 is 1, but 1.00000001 in single precision
    *_, grad_conf = loss_and_gradients(kernel_xp, (mb_locs, mb_confs, gt_mb_locs, labels), .1)
    assert grad_conf.any(axis=2).sum() == 11


@pytest.mark.parametrize('dtype', [np.int32, np.int64, np.float32])
def test_the_number_to_mark_may_have_any_type(kernel_xp, dtype):
    values = kernel_xp.asarray([[1, 6], [3, 5], [2, 4]], 'f').T
    marked = kernels.n_largest(values, kernel_xp.asarray([2, 1], dtype))
    assert marked.tolist() == [[False, True, True], [True, False, False]]


@pytest.mark.parametrize('p_positive', [.02, .5])
def test_the_whole_loss_equals_its_terms_one_by_one(kernel_xp, request, p_positive):
    case = random_case(3, 301, 21, p_positive, seed=5, p_ignored=.1)
    whole = loss_and_gradients(kernel_xp, case)
    request.getfixturevalue('composed')
    one_by_one = loss_and_gradients(kernel_xp, case)
    assert_all_close(whole, one_by_one, rtol=1e-6, atol=1e-9)
    for one, other in zip(whole[2:], one_by_one[2:]):
        np.testing.assert_array_equal(one == 0, other == 0)


def test_the_whole_loss_runs_in_four_launches(kernel_xp, monkeypatch):
    launched, launch = [], launching.launch
    monkeypatch.setattr(launching, 'launch', lambda source, kernel, *args: (
        launched.append(kernel), launch(source, kernel, *args)))
    loss_and_gradients(kernel_xp, random_case(2, 40, 5, .1, seed=6))
    assert launched == ['cross_entropy<float>', 'mine<float>', 'average<true>', 'gradients<float>']


@pytest.mark.parametrize('index', [0, 1], ids=['loc_loss', 'conf_loss'])
def test_one_term_alone_passes_back(kernel_xp, monkeypatch, index):
    def alone(*args):
        term = multibox_loss(*args)[index]
        return term, chainer.Variable(cuda.get_array_module(term.array).zeros((), 'f'))
    case = random_case(2, 40, 5, .2, seed=7)
    assert_all_close(loss_and_gradients(kernel_xp, case, loss=alone),
                     on_cpu(monkeypatch, case, loss=alone))


@pytest.mark.parametrize('n_other', [0, 1000])
def test_positives_are_averaged_over_processes(kernel_xp, monkeypatch, n_other):
    case = random_case(2, 50, 4, .2, seed=8)
    comm = FakeCommunicator(n_other)
    assert_all_close(loss_and_gradients(kernel_xp, case, comm=comm),
                     on_cpu(monkeypatch, case, comm=comm))


@pytest.mark.parametrize('change', [
    {0: 'd', 1: 'd'}, {0: 'e'}, {2: 'd'}, {2: 'e'}, {3: np.int64}, {3: np.uint8}],
    ids=['float64', 'mixed', 'float64 targets', 'float16 targets', 'int64', 'uint8'])
def test_other_types_give_what_they_give_on_the_cpu(kernel_xp, monkeypatch, change):
    case = random_case(2, 40, 5, .2, seed=9)
    case = [x.astype(change.get(i, x.dtype)) for i, x in enumerate(case)]
    actual, expected = loss_and_gradients(kernel_xp, case), on_cpu(monkeypatch, case)
    assert [x.dtype for x in actual] == [x.dtype for x in expected]
    assert_all_close(actual, expected, rtol=1e-3 if change == {0: 'e'} else 1e-5)


def test_more_classes_than_shared_memory_holds(kernel_xp, monkeypatch):
    case = random_case(1, 3, gpu_loss.TILE, .5, seed=10)
    assert_all_close(loss_and_gradients(kernel_xp, case), on_cpu(monkeypatch, case))


@pytest.mark.parametrize('dtype', ['f', 'd'], ids=['float32', 'float64'])
@pytest.mark.parametrize('loss', LOSSES.values(), ids=LOSSES)
def test_every_formulation_equals_the_cpus(kernel_xp, monkeypatch, loss, dtype):
    case = cast(random_case(2, 60, 5, .1, seed=11, p_ignored=.1), dtype)
    actual = loss_and_gradients(kernel_xp, case, loss=loss.multibox_loss)
    assert_all_close(actual, on_cpu(monkeypatch, case, loss=loss.multibox_loss))


@pytest.mark.parametrize('loss', LOSSES.values(), ids=LOSSES)
@pytest.mark.parametrize('B, K', [(0, 5), (2, 0)], ids=['no image', 'no box'])
def test_an_empty_batch_gives_zero(kernel_xp, loss, B, K):
    if loss is LOSSES['ssd_pytorch'] and K == 0:
        pytest.skip('without boxes there is no maximum')
    case = [np.zeros((B, K, n), 'f') for n in (4, 3, 4)] + [np.zeros((B, K), 'i')]
    assert not any(x.any() for x in loss_and_gradients(
        kernel_xp, case, loss=loss.multibox_loss))
