"""The scale of a loss on a GPU adapts as Chainer's does on the host, to the bit."""
from multibox.engines.updates.scale import Scale

import chainer
import numpy as np
import pytest


def chainers(scale, ever, overflows):
    """The scale after each update, by Chainer's own code."""
    optimizer = chainer.optimizers.SGD().setup(chainer.Link())
    optimizer.loss_scaling()
    optimizer._loss_scale, optimizer._loss_scaling_isnan_ever = scale, ever
    for overflow in overflows:
        optimizer._loss_scaling_isnan = overflow
        optimizer._loss_scaling_isnan_ever |= overflow
        optimizer.update_loss_scale()
        yield optimizer._loss_scale, optimizer._loss_scaling_isnan_ever


@pytest.mark.parametrize('scale, ever', [(1., False), (3e4, False), (7., True), (1.5, True)])
def test_the_scale_adapts_as_chainers(kernel_xp, scale, ever):
    overflows = [bool(each) for each in np.random.default_rng(0).integers(0, 4, 30) == 0]
    on_gpu = Scale(kernel_xp, 2 ** .001, 65504)
    on_gpu.write(scale, ever)
    good, bad = (kernel_xp.array([1, number], 'e') for number in (2, np.inf))
    for n, (overflow, expected) in enumerate(zip(overflows, chainers(scale, ever, overflows)), 1):
        on_gpu.check([good, bad] if overflow else [good])
        assert int(on_gpu.overflowed[0]) == overflow
        on_gpu.adapt()
        assert on_gpu.read() == (*expected, sum(overflows[:n]))


@pytest.mark.parametrize('shape', [(), (1,)])
def test_the_gradient_of_a_loss_is_the_scale(kernel_xp, shape):
    scale = Scale(kernel_xp, 2., 65504)
    scale.write(1 / 3, False)
    gradient = scale.gradient(kernel_xp.zeros(shape, 'f'))
    assert gradient.shape == shape and gradient.dtype == 'f'
    assert float(gradient.sum()) == np.float32(1 / 3)
