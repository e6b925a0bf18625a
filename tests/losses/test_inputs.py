"""Bad arguments of the losses, in all formulations, and second derivatives."""
import fractions
import types

from multibox import engines, multibox_loss
from multibox.errors import UserError
from multibox.kernels import softmax_cross_entropy
from multibox.losses import LOSSES, caffe, notebook, ssd_keras, ssd_pytorch, super_gradients
from multibox.losses.inputs import on_one_device
from multibox.mining import hard_negatives
from tests.support.formulation_cases import random_case

import chainer
import chainer.functions as F
import numpy as np
import pytest

every_loss = pytest.mark.parametrize('loss', LOSSES.values(), ids=LOSSES)
NAMES = 'mb_locs', 'mb_confs', 'gt_mb_locs', 'gt_mb_labels'
PRIORS = np.array([[.5, .5, .2, .2], [.1, .1, .1, .1], [.9, .9, .1, .1]], 'f')


def values(loss, k):
    return [float(F.sum(term).array) for term in loss.multibox_loss(*random_case(), k)]


@every_loss
@pytest.mark.parametrize('name', NAMES[:2])
@pytest.mark.parametrize('dtype', [int, bool, complex, object, 'U9'], ids=str)
def test_predictions_without_a_gradient_are_refused(loss, name, dtype):
    case = dict(zip(NAMES, random_case()))
    case[name] = case[name].astype(dtype)
    with pytest.raises(TypeError, match=rf'{name} must be float16.*got .*\.astype\(numpy\.float32'):
        loss.multibox_loss(**case, k=3)


@every_loss
@pytest.mark.parametrize('name', NAMES)
@pytest.mark.parametrize('value', [None, [[1., 2.]], 3., 'text'], ids=repr)
def test_what_is_no_array_is_named(loss, name, value):
    with pytest.raises(TypeError, match=f'{name} must be an array or a Variable, got '
                                        f'{type(value).__name__}'):
        loss.multibox_loss(**{**dict(zip(NAMES, random_case())), name: value}, k=3)


@every_loss
@pytest.mark.filterwarnings('error')
@pytest.mark.parametrize('k', [10 ** 400, float('inf'), 1e300, np.float32(1e38), 2 ** 63])
def test_a_very_large_k_takes_all_negatives(loss, k):
    assert values(loss, k) == values(loss, 1000)


@every_loss
@pytest.mark.parametrize('k, same', [
    (np.int8(3), 3), (np.float16(2.5), 2.5), (np.array(3), 3), (fractions.Fraction(5, 2), 2.5),
    (True, 1)], ids=repr)
def test_a_number_of_any_type_gives_the_same(loss, k, same):
    assert values(loss, k) == values(loss, same)


@every_loss
@pytest.mark.parametrize('k, error', [
    (float('nan'), ValueError), (-1, ValueError), (-10 ** 5000, ValueError), ('3', TypeError),
    (None, TypeError), ([3], TypeError), (3j, TypeError)], ids=lambda value: str(type(value)))
def test_what_is_no_number_of_negatives_is_named(loss, k, error):
    with pytest.raises(error, match=r'negatives per positive, must be .*>= 0, got'):
        values(loss, k)


@pytest.mark.parametrize('make, name', [
    (lambda k: caffe.MultiBoxLoss(3, neg_pos_ratio=k), 'neg_pos_ratio'),
    (lambda k: notebook.MultiBoxLoss(neg_pos=k), 'neg_pos'),
    (lambda k: ssd_pytorch.MultiBoxLoss(3, neg_pos=k), 'neg_pos'),
    (lambda k: ssd_keras.SSDLoss(neg_pos_ratio=k), 'neg_pos_ratio'),
    (lambda k: ssd_keras.SSDLoss(n_neg_min=k), 'n_neg_min'),
    (lambda k: super_gradients.SSDLoss(PRIORS, neg_pos_ratio=k), 'neg_pos_ratio'),
    (super_gradients.HardMiningCrossEntropyLoss, 'neg_pos_ratio'),
    (lambda k: LOSSES['gluoncv'].multibox_loss(*random_case(), 3, min_hard_negatives=k),
     'min_hard_negatives'),
    (lambda k: hard_negatives(np.zeros((1, 2), 'f'), np.zeros((1, 2), bool), k), 'neg_pos_ratio')],
    ids=['caffe', 'notebook', 'ssd_pytorch', 'keras', 'keras-least', 'super_gradients', 'mined',
         'gluoncv', 'mining'])
def test_published_losses_name_their_own_argument(make, name):
    for value in -1, float('nan'):
        with pytest.raises(ValueError, match=rf'^{name} must be >= 0, got'):
            make(value)
    with pytest.raises(TypeError, match=rf'^{name} must be a number'):
        make('3')
    make(10 ** 400)


def test_arrays_on_two_devices_are_named(monkeypatch):
    array = types.SimpleNamespace(dtype=np.dtype('f'), ndim=3, shape=(2, 3, 4))
    monkeypatch.setattr(chainer, 'get_array_types', lambda: (np.ndarray, types.SimpleNamespace))
    with pytest.raises(TypeError, match='one device, got a on a CPU, b on a GPU'):
        on_one_device(a=np.zeros(3), b=array)
    with pytest.raises(TypeError, match='mb_locs on a GPU, mb_confs on a CPU'):
        multibox_loss(array, *random_case()[1:], 3)


@pytest.mark.parametrize('dtype', [int, bool])
def test_published_losses_refuse_predictions_without_a_gradient(dtype):
    locs, confs = np.zeros((1, 3, 4), 'f'), np.zeros((1, 3, 3)).astype(dtype)
    targets = [np.zeros((0, 5), 'f')]
    for loss in caffe.MultiBoxLoss(3), notebook.MultiBoxLoss(), ssd_pytorch.MultiBoxLoss(3):
        with pytest.raises(TypeError, match='confs must be float16'):
            loss((locs, confs, PRIORS), targets)
    with pytest.raises(TypeError, match='confs must be float16'):
        super_gradients.SSDLoss(PRIORS)(
            (locs.transpose(0, 2, 1), confs.transpose(0, 2, 1)), np.zeros((0, 6), 'f'))
    with pytest.raises(TypeError, match='y_pred must be float16'):
        ssd_keras.SSDLoss().compute_loss(np.zeros((1, 3, 15), 'f'), np.zeros((1, 3, 15), dtype))
    with pytest.raises(TypeError, match='pred_labels must be float16'):
        super_gradients.HardMiningCrossEntropyLoss(3)(
            confs.transpose(0, 2, 1), np.zeros((1, 3), 'i'))


@pytest.mark.parametrize('predictions', [None, (), (1, 2, 3, 4), 3], ids=repr)
def test_published_losses_name_a_wrong_tuple(predictions):
    with pytest.raises(TypeError, match=r'predictions must be \(locs, confs, priors\), got'):
        notebook.MultiBoxLoss()(predictions, [])
    with pytest.raises(TypeError, match=r'predictions must be \(locs, confs\), got'):
        super_gradients.SSDLoss(PRIORS)(predictions, np.zeros((0, 6), 'f'))


@every_loss
@pytest.mark.filterwarnings('error')
def test_matched_boxes_of_no_image_give_zero(loss):
    case = [array[:0] for array in random_case()]
    inputs = tuple(map(chainer.Variable, case[:2]))
    total = loss.weigh(*loss.multibox_loss(*inputs, *case[2:], 3))
    total.backward()
    assert float(total.array) == 0 and all(x.grad.shape == x.shape for x in inputs)


@pytest.mark.filterwarnings('error')
def test_a_batch_without_images_gives_zero():
    locs, confs = np.zeros((0, 3, 4), 'f'), np.zeros((0, 3, 3), 'f')
    for loss in caffe.MultiBoxLoss(3), notebook.MultiBoxLoss(), ssd_pytorch.MultiBoxLoss(3):
        assert [float(term.array) for term in loss((locs, confs, PRIORS), [])] == [0, 0]
    loss, components = super_gradients.SSDLoss(PRIORS)(
        (locs.transpose(0, 2, 1), confs.transpose(0, 2, 1)), np.zeros((0, 6), 'f'))
    assert float(loss.array) == 0 and not components.array.any()
    assert ssd_keras.SSDLoss().compute_loss(*[np.zeros((0, 3, 15), 'f')] * 2).shape == (0,)


def second_derivative(loss, *inputs):
    gradients = chainer.grad([loss], inputs, enable_double_backprop=True)
    sum(F.sum(gradient * gradient) for gradient in gradients).backward()


@every_loss
@pytest.mark.parametrize('term', [0, 1], ids=['loc', 'conf'])
def test_a_second_derivative_is_refused(loss, term):
    case = random_case()
    inputs = tuple(map(chainer.Variable, case[:2]))
    terms = loss.multibox_loss(*inputs, *case[2:], 3)
    with pytest.raises(NotImplementedError, match='has no second derivative: differentiate'):
        second_derivative(F.sum(terms[term]), inputs[term])


def test_a_second_derivative_of_a_part_is_refused():
    logits = chainer.Variable(np.ones((2, 3), 'f'))
    loss = F.sum(softmax_cross_entropy(logits, np.array([0, 2])))
    with pytest.raises(NotImplementedError, match='softmax_cross_entropy has no second derivative'):
        second_derivative(loss, logits)
    probability = chainer.Variable(np.full((1, 2, 14), .5, 'f'))
    target = np.eye(14, dtype='f')[None, :2]
    with pytest.raises(NotImplementedError, match='ssd_keras has no second derivative'):
        second_derivative(F.sum(ssd_keras.SSDLoss(n_neg_min=1).compute_loss(target, probability)),
                          probability)


def test_the_kernels_of_a_gpu_refuse_a_second_derivative(kernel_xp):
    case = [kernel_xp.asarray(array) for array in random_case()]
    inputs = tuple(map(chainer.Variable, case[:2]))
    with pytest.raises(NotImplementedError, match='multibox_loss has no second derivative'):
        second_derivative(multibox_loss(*inputs, *case[2:], 3)[1], inputs[1])
    x, scale = (chainer.Variable(kernel_xp.ones(shape, 'f')) for shape in ((1, 3, 2, 2), (3,)))
    with pytest.raises(NotImplementedError, match='l2_normalize has no second derivative'):
        second_derivative(F.sum(engines.l2_normalize(x, scale)), x)


@every_loss
def test_a_first_derivative_with_a_graph_is_the_same(loss):
    gradients = []
    for graph in False, True:
        case = random_case()
        inputs = tuple(map(chainer.Variable, case[:2]))
        loss.weigh(*loss.multibox_loss(*inputs, *case[2:], 3)).backward(
            enable_double_backprop=graph)
        gradients.append([variable.grad for variable in inputs])
    for one, other in zip(*gradients):
        np.testing.assert_array_equal(one, other)


def test_an_engine_is_refused_in_the_words_of_python():
    for arguments in ('foo',), ('blas', 'tf32'), ('blas', 'foo'), (3,):
        with pytest.raises(UserError) as caught:
            engines.using(*arguments).__enter__()
        assert '--' not in str(caught.value)


@every_loss
@pytest.mark.parametrize('dtype', ['longdouble', '>f4'])
def test_predictions_of_another_width_or_byte_order_are_refused(loss, dtype):
    case = dict(zip(NAMES, random_case()))
    case['mb_locs'] = case['mb_locs'].astype(dtype)
    with pytest.raises(TypeError, match=r'mb_locs must be float16, .* of this machine, got'):
        loss.multibox_loss(**case, k=3)


@every_loss
@pytest.mark.parametrize('dtype', ['u8', 'i1', 'u1'])
def test_labels_may_have_any_type_of_integers(loss, dtype):
    mb_locs, mb_confs, gt_mb_locs, gt_mb_labels = random_case()
    expected = loss.multibox_loss(mb_locs, mb_confs, gt_mb_locs, gt_mb_labels, 3)
    found = loss.multibox_loss(mb_locs, mb_confs, gt_mb_locs, gt_mb_labels.astype(dtype), 3)
    for one, other in zip(expected, found):
        np.testing.assert_array_equal(one.array, other.array)


def test_labels_out_of_range_are_refused_by_the_cross_entropies():
    with pytest.raises(ValueError, match='labels must lie in -1 to C - 1 = 2, got 0 to 3'):
        softmax_cross_entropy(np.zeros((3, 3), 'f'), np.array([3, 0, 0]))
    with pytest.raises(ValueError, match='target_labels must lie in -1 to C - 1 = 2, got 0 to 3'):
        super_gradients.HardMiningCrossEntropyLoss(3)(
            np.zeros((1, 3, 6), 'f'), np.array([[0, 3, 1, 0, 0, 0]]))


def test_priors_that_are_no_numbers_are_named():
    with pytest.raises(ValueError, match='priors must be numbers, got <U1'):
        LOSSES['tf_od'].multibox_loss(*random_case(), 3, priors=np.full((30, 4), 'a'))
