"""Maps are freed during the backward pass, which changes no gradient."""
import contextlib
import tracemalloc

from multibox.networks.layers import Convolution2D
from multibox.training.release import Release

import chainer
import chainer.functions as F
import numpy as np


class Network(chainer.ChainList):
    """Eight convolutions of one size; the first map is read twice."""

    def __init__(self):
        np.random.seed(0)
        super().__init__(*(Convolution2D(4, 4, 3, pad=1) for _ in range(8)))

    def forward(self, x):
        first = h = self[0](x, relu=True)
        for layer in self[1:]:
            h = F.relu(layer(h))
        return F.sum(h * first)


def gradients(hook):
    """The gradients of a network, and the bytes that are allocated while its loss is there."""
    network, x = Network(), np.ones((1, 4, 100, 100), 'f')
    network(x).backward()  # engines prepare themselves
    network.cleargrads()
    tracemalloc.start()
    with hook:
        loss = network(x)
        loss.backward()
        allocated, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return [parameter.grad for parameter in network.params()], allocated


def test_gradients_stay_and_memory_falls():
    expected, before = gradients(contextlib.nullcontext())
    actual, after = gradients(Release())
    for one, other in zip(actual, expected, strict=True):
        np.testing.assert_array_equal(one, other)
    assert after < .3 * before


def test_arrays_of_variables_stay():
    x = chainer.Variable(np.ones(3, 'f'))
    with Release():
        y = F.exp(x)
        loss = F.sum(y)
        loss.backward()
    np.testing.assert_array_equal(y.array, np.exp(x.array))
    assert loss.array == y.array.sum()
