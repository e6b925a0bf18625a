"""The operations that experiments.gpu.ops times: those of SSD300 in a step of n images.

Each function makes the contestants for n images, by name, and returns the bytes to move, too.
"""
import functools
from collections.abc import Callable, Iterator

from experiments.gpu.ops_check import (
    DTYPES,
    POOLINGS,
    heads_of_ssd300,
    join_by_chainer,
    make_optimizers,
)
from experiments.timing.arrays import random_array
from experiments.timing.steps import forward_and_backward
from multibox import engines
from multibox.engines.activation import gpu as activation
from multibox.networks.layers import L2Normalization

import chainer
import chainer.functions as F
import numpy as np
from chainer.backends import cuda
from chainer.functions.activation.relu import ReLUGrad2
from chainer.initializers import Constant
from chainercv.links.model.ssd import Normalize

MAPS = {'conv1_1': (64, 300), 'conv2_1': (128, 150), 'conv3_1': (256, 75), 'conv4_1': (512, 38),
        'conv5_1': (512, 19), 'conv7': (1024, 19)}  # channels and size


def _pooling_steps(n, dtype, name):
    channels, size, window = POOLINGS[name]
    rng = cuda.cupy.random.default_rng(0)
    chainers = functools.partial(F.max_pooling_2d, **window)
    kernels = functools.partial(engines.max_pooling_2d, **window)

    def arrays(channels_last):
        x = random_array(rng, (n, channels, size, size), dtype, channels_last)
        return x, random_array(rng, kernels(x).shape, dtype, channels_last)
    (x, gy), (x_last, gy_last) = arrays(False), arrays(True)
    return {'chainer': forward_and_backward(chainers, (x,), gy),
            'ours': forward_and_backward(kernels, (x,), gy),
            'ours, channels last': forward_and_backward(kernels, (x_last,), gy_last),
            }, 2 * (x.nbytes + gy.nbytes + gy.size)


def _relu_steps(n, dtype, name):
    """Max pooling with ReLU: before the pooling in ChainerCV, after the pooling in multibox."""
    channels, size, window = POOLINGS[name]
    rng = cuda.cupy.random.default_rng(0)

    def arrays(channels_last):
        x = random_array(rng, (n, channels, size, size), dtype, channels_last)
        return x, random_array(
            rng, engines.max_pooling_2d(x, **window).shape, dtype, channels_last)
    (x, gy), (x_last, gy_last) = arrays(False), arrays(True)
    return {
        'chainer': forward_and_backward(
            lambda x: F.max_pooling_2d(F.relu(x), **window), (x,), gy),
        'ours': forward_and_backward(
            lambda x: engines.max_pooling_2d(x, **window, relu=True), (x_last,), gy_last),
    }, 2 * (x.nbytes + gy.nbytes + gy.size)


def _bias_steps(n, dtype, name):
    """The gradients of ReLU and of a bias."""
    channels, size = MAPS[name]
    rng = cuda.cupy.random.default_rng(0)

    def arrays(channels_last):
        shape = n, channels, size, size
        return [random_array(rng, shape, dtype, channels_last) for _ in range(2)]
    (y, gy), (y_last, gy_last) = arrays(False), arrays(True)

    def by_chainer():
        gx, = ReLUGrad2(y).apply((gy,))
        return gx.array, F.sum(gx, axis=(0, 2, 3)).array
    return {'chainer': by_chainer,
            'ours': lambda: activation.rectify(y_last, gy_last, sum_dtype=dtype)}, 3 * y.nbytes


def _add_steps(n, dtype):
    """The sum of two gradients of conv4_3."""
    rng = cuda.cupy.random.default_rng(0)
    one, other = (random_array(rng, (n, 512, 38, 38), dtype, True) for _ in range(2))
    pixels = [array.transpose(0, 2, 3, 1) for array in (one, other)]
    return {'chainer': lambda: pixels[0] + pixels[1],
            'ours': lambda: activation.add((one, other))}, 3 * one.nbytes


def _join_steps(n, dtype):
    """The logits of 21 classes of all boxes in one float32 array, and their gradients."""
    rng = cuda.cupy.random.default_rng(0)
    maps = heads_of_ssd300(rng, n, dtype)
    gy = random_array(rng, (n, 8732, 21))

    def step(join):
        return forward_and_backward(lambda *maps: F.cast(join(maps, 21), 'float32'), maps, gy)
    return {'chainer': step(join_by_chainer), 'ours': step(engines.join_heads),
            }, 2 * (gy.nbytes + sum(x.nbytes for x in maps))


def _normalize_steps(n, dtype):
    rng = cuda.cupy.random.default_rng(0)
    x, gy, x_last, gy_last = (random_array(rng, (n, 512, 38, 38), dtype, last)
                              for last in (False, False, True, True))

    def step(link_class, x, gy):
        link = link_class(512, initial=Constant(20))
        link.scale.array = link.scale.array.astype(dtype)
        link.to_device('@cupy:0')
        link.cleargrads()
        return forward_and_backward(link, (x,), gy)
    return {'chainer': step(Normalize, x, gy), 'ours': step(L2Normalization, x_last, gy_last),
            }, 5 * x.nbytes


def _update_steps(n, dtype):
    kernels, chainers = make_optimizers(dtype)
    size = sum(parameter.size for parameter in kernels.target.params())
    return {'chainer': lambda: chainer.optimizers.MomentumSGD.update(chainers),
            'ours': kernels.update}, 20 * size  # of both dtypes


def _finite_steps(n, dtype):
    """The search for gradients that are not finite, under dynamic scaling of the loss."""
    kernels, chainers = make_optimizers(dtype)
    for optimizer in kernels, chainers:
        optimizer.loss_scaling()
    size = sum(parameter.size for parameter in kernels.target.params())
    return {'chainer': chainers.check_nan_in_grads, 'ours': kernels.check_nan_in_grads,
            }, size * np.dtype(dtype).itemsize


def parts() -> Iterator[tuple[str, Callable, tuple]]:
    """Yield the name of a part, the function that makes its steps, and its arguments after n."""
    for dtype in DTYPES:
        for name in POOLINGS:
            yield f'{name}, {dtype}', _pooling_steps, (dtype, name)
        for name in ('pool1', 'pool2', 'pool3'):
            yield f'ReLU and {name}, {dtype}', _relu_steps, (dtype, name)
        for name in MAPS:
            yield f'ReLU and bias of {name}, {dtype}', _bias_steps, (dtype, name)
        for name, make in (('add', _add_steps), ('join', _join_steps),
                           ('normalize', _normalize_steps), ('update', _update_steps),
                           ('finite', _finite_steps)):
            yield f'{name}, {dtype}', make, (dtype,)
