"""L2 normalisation as a function: by a kernel on a GPU, by Chainer's functions on a CPU."""
from multibox import engines
from multibox.networks.layers import L2Normalization

import chainer
import numpy as np
from chainer.backends import cuda
from chainercv.links.model.ssd import Normalize


def random_array(*shape):
    return np.random.default_rng(0).standard_normal(shape).astype('f')


def test_normalize_is_a_kernel(kernel_xp):
    link = L2Normalization(3, initial=chainer.initializers.Constant(20))
    link.to_device('@numpy' if kernel_xp is np else '@cupy:0')
    y = link(kernel_xp.asarray(random_array(2, 3, 4, 5)))
    assert y.creator.label == 'L2Normalize'
    lengths = np.sqrt((cuda.to_cpu(y.array) ** 2).sum(axis=1))
    np.testing.assert_allclose(lengths, 20, rtol=1e-4)


def test_numpy_arrays_stay_chainercvs():
    x = random_array(2, 3, 4, 5)
    y = engines.l2_normalize(x, np.full(3, 20, 'f'))
    link = Normalize(3, initial=chainer.initializers.Constant(20))
    np.testing.assert_array_equal(y.array, link(x).array)
    assert y.creator.label != 'L2Normalize'
