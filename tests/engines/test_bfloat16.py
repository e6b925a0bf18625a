"""Arrays of bfloat16 in Chainer's functions and files, and in the kernels."""
from multibox.engines import bfloat16, choice, kernels
from multibox.engines.convolution import graphs
from multibox.engines.normalization.gpu import L2Normalize
from multibox.engines.pooling import cpu as on_cpu
from multibox.engines.pooling import gpu as pooling
from multibox.errors import UserError

import chainer
import chainer.functions as F
import numpy as np
import pytest
from chainer.backends import cuda
from chainer.serializers import DictionarySerializer, NpzDeserializer

FUNCTIONS = {
    'relu': F.relu, 'add': lambda x: x + x, 'divide': lambda x: x / 128,
    'clip': lambda x: F.clipped_relu(x, 1.), 'sum': lambda x: F.sum(x, axis=(0, 2, 3)),
    'shape': lambda x: F.transpose(F.reshape(F.concat([x, x]), (2, -1))),
    'normalise': lambda x: F.batch_normalization(
        x, x.xp.ones(x.shape[1], 'f'), x.xp.zeros(x.shape[1], 'f'))}


@pytest.fixture
def dtype():
    pytest.importorskip('ml_dtypes')
    return bfloat16.dtype()


def random_array(*shape, seed=0):
    """Random numbers in float32 that bfloat16 holds exactly."""
    numbers = np.random.default_rng(seed).standard_normal(shape)
    return numbers.astype(bfloat16.dtype()).astype('f')


def with_gradients(function, *arrays):
    """The output and the gradients of a weighted sum of it, all in float32."""
    inputs = [chainer.Variable(array) for array in arrays]
    y = function(*inputs)
    assert y.dtype == arrays[0].dtype
    y = F.cast(y, 'f')
    F.sum(y * y.xp.asarray(random_array(*y.shape, seed=1))).backward()
    assert [x.grad.dtype for x in inputs] == [x.dtype for x in inputs]
    return [cuda.to_cpu(array).astype('f') for array in (y.array, *(x.grad for x in inputs))]


def assert_close(actual, expected):
    for one, other in zip(actual, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=.02, atol=.02 * abs(other).max())


@pytest.mark.parametrize('function', FUNCTIONS.values(), ids=FUNCTIONS)
def test_chainers_functions_and_gradients_stay_in_it(xp, dtype, function):
    x = xp.asarray(random_array(2, 6, 4, 5))
    assert_close(with_gradients(function, x.astype(dtype)), with_gradients(function, x))


def test_normalisation_on_a_gpu(kernel_xp, dtype):
    arrays = random_array(2, 24, 3, 5), random_array(24)
    assert_close(
        with_gradients(lambda *inputs: L2Normalize(1e-5).apply(inputs)[0],
                       *(kernel_xp.asarray(array.astype(dtype)) for array in arrays)),
        with_gradients(lambda x, scale: F.normalize(x, axis=1) * F.broadcast_to(
            scale[:, None, None], x.shape), *arrays))


def test_pooling_on_a_gpu_passes_numbers_on_unchanged(kernel_xp, dtype):
    x, geometry = random_array(2, 3, 7, 6), ((2, 2), (2, 2), (0, 0))
    on_gpu = kernel_xp.asarray(x.astype(dtype))
    assert kernels.takes(on_gpu)
    y, index = on_cpu.max_pool(x, geometry, (4, 3))
    gx = on_cpu.max_pool_gradient(y, index, geometry, (7, 6))
    actual, index = pooling.max_pool(on_gpu, geometry, (4, 3))
    for one, other in ((actual, y), (
            pooling.max_pool_gradient(actual, index, geometry, (7, 6)), gx)):
        assert one.dtype == dtype
        np.testing.assert_array_equal(cuda.to_cpu(one).astype('f'), other)


def test_types_of_other_arrays_are_still_checked(dtype):
    with pytest.raises(chainer.utils.type_check.InvalidType):
        F.relu(np.zeros(3, int))


def test_files_hold_float32_and_are_read_back_exactly(xp, dtype):
    class Weights(chainer.Link):
        def __init__(self, array):
            super().__init__()
            with self.init_scope():
                self.W = chainer.Parameter(xp.asarray(array))

    numbers, saved = random_array(5), DictionarySerializer()
    Weights(numbers.astype(dtype)).serialize(saved)
    assert saved.target['W'].dtype == np.float32
    np.testing.assert_array_equal(saved.target['W'], numbers)
    read = Weights(np.zeros(5, dtype))
    read.serialize(NpzDeserializer(saved.target))
    assert read.W.dtype == dtype
    np.testing.assert_array_equal(cuda.to_cpu(read.W.array).astype('f'), numbers)


def test_without_its_package_it_is_refused(monkeypatch):
    monkeypatch.setattr(graphs, 'missing', lambda: None)
    monkeypatch.setattr(bfloat16, 'find_spec', lambda name: None)
    with pytest.raises(UserError, match=r'--precision bfloat16: .*pip install ml_dtypes'):
        choice.choose('cudnn', 'bfloat16')
