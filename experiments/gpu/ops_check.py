"""Are the kernels of the work between convolutions, and of the update, right?

An error is the largest difference relative to the largest number of the exact array.
"""
import types
from collections.abc import Sequence
from typing import Any

from experiments.timing.arrays import random_array
from experiments.timing.steps import forward_and_backward
from multibox import engines
from multibox.engines.activation import gpu as activation
from multibox.engines.pooling import cpu
from multibox.networks import make_detector
from multibox.training import halve, make_optimizer
from multibox.typing import Array

import chainer
import chainer.functions as F
import numpy as np
from chainer.backends import cuda

POOLINGS = {  # channels, size, and the window of max pooling, from the first to the last of SSD300
    'pool1': (64, 300, {'ksize': 2}), 'pool2': (128, 150, {'ksize': 2}),
    'pool3': (256, 75, {'ksize': 2}), 'pool4': (512, 38, {'ksize': 2}),
    'pool5': (512, 19, {'ksize': 3, 'stride': 1, 'pad': 1})}
DTYPES = 'float32', 'float16'


def _worst(actual, expected):
    actual, expected = (cuda.to_cpu(array).astype(float) for array in (actual, expected))
    return float(abs(actual - expected).max() / abs(expected).max())


def check_pooling() -> dict[str, list[float]]:
    """Errors of maxima and gradients for two images, beside the CPU's results."""
    rng, errors = cuda.cupy.random.default_rng(0), {}
    for name, (channels, size, options) in POOLINGS.items():
        window = [(n, n) for n in (options['ksize'], options.get('stride', 2),
                                   options.get('pad', 0))]
        for dtype in DTYPES:
            for last in False, True:
                x = random_array(rng, (2, channels, size, size), dtype, last)
                gy = random_array(rng, engines.max_pooling_2d(x, **options).shape, dtype)
                actual = forward_and_backward(
                    lambda x, options=options: engines.max_pooling_2d(x, **options), (x,), gy)()
                y, index = cpu.max_pool(cuda.to_cpu(x), window, gy.shape[2:])
                gx = cpu.max_pool_gradient(cuda.to_cpu(gy), index, window, (size, size))
                errors[f'{name}, {dtype}{", channels last" * last}'] = [
                    _worst(*both) for both in zip(actual, (y, gx))]
    return errors


def check_relu_and_pooling() -> dict[str, list[float]]:
    """Errors of max pooling with ReLU and of its gradient, beside the CPU's results."""
    rng, errors = cuda.cupy.random.default_rng(0), {}
    for dtype in DTYPES:
        x = random_array(rng, (2, 64, 75, 75), dtype, True) - 1
        gy = random_array(rng, (2, 64, 38, 38), dtype, True)
        actual, exact = (
            forward_and_backward(lambda x: engines.max_pooling_2d(x, 2, relu=True), (x,), gy)()
            for x, gy in ((x, gy), (cuda.to_cpu(x), cuda.to_cpu(gy))))
        errors[dtype] = [_worst(*both) for both in zip(actual, exact)]
    return errors


def check_bias() -> dict[str, list[float]]:
    """Errors of the gradients of ReLU and of a bias, beside float64 on the CPU."""
    rng, errors = cuda.cupy.random.default_rng(0), {}
    for dtype in DTYPES:
        for channels in 64, 84, 1024:
            y, gy = (random_array(rng, (4, channels, 75, 75), dtype, True) for _ in range(2))
            gx = np.where(cuda.to_cpu(y) > 0, cuda.to_cpu(gy).astype(float), 0)
            actual = activation.rectify(y, gy, sum_dtype=np.float32)
            errors[f'{dtype}, {channels} channels'] = [
                _worst(*both) for both in zip(actual, (gx, gx.sum(axis=(0, 2, 3))))]
    return errors


def check_add() -> dict[str, float]:
    """Errors of the sum of three maps, beside float64 on the CPU."""
    rng, errors = cuda.cupy.random.default_rng(0), {}
    for dtype in DTYPES:
        maps = [random_array(rng, (2, 512, 38, 38), dtype, True) for _ in range(3)]
        errors[dtype] = _worst(
            activation.add(maps), sum(cuda.to_cpu(each).astype(float) for each in maps))
    return errors


def heads_of_ssd300(rng: Any, n: int, dtype: str) -> list[Array]:
    """Random logits of 21 classes for n images: (n, 21 A, grid, grid), A boxes per cell."""
    return [random_array(rng, (n, 21 * boxes, grid, grid), dtype, True) for boxes, grid in (
        (4, 38), (6, 19), (6, 10), (6, 5), (4, 3), (4, 1))]


def join_by_chainer(maps: Sequence[chainer.Variable], n: int) -> chainer.Variable:
    """As :func:`multibox.engines.join_heads`, by functions of Chainer."""
    return F.concat([F.reshape(F.transpose(x, (0, 2, 3, 1)), (len(x), -1, n)) for x in maps])


def check_join() -> dict[str, float]:
    """The largest errors of joined heads and their gradients, beside the CPU's results."""
    rng, errors = cuda.cupy.random.default_rng(0), {}
    for dtype in DTYPES:
        maps, gy = heads_of_ssd300(rng, 2, dtype), random_array(rng, (2, 8732, 21))
        actual = forward_and_backward(lambda *maps: engines.join_heads(maps, 21), maps, gy)()
        exact = forward_and_backward(
            lambda *maps: join_by_chainer(maps, 21),
            [cuda.to_cpu(x).astype('f') for x in maps], cuda.to_cpu(gy))()
        errors[dtype] = max(_worst(*both) for both in zip(actual, exact))
    return errors


def check_normalize() -> dict[str, list[float]]:
    """Errors of result and gradients for two images, beside float64 on the CPU."""
    rng, errors = cuda.cupy.random.default_rng(0), {}
    for dtype in DTYPES:
        for last in False, True:
            x, gy = (random_array(rng, (2, 512, 38, 38), dtype, last) for _ in range(2))
            scale = cuda.cupy.linspace(10, 20, 512).astype(dtype)
            actual, exact = (
                forward_and_backward(engines.l2_normalize, inputs, gy)() for *inputs, gy in (
                    (x, scale, gy), [cuda.to_cpu(a).astype(float) for a in (x, scale, gy)]))
            errors[f'{dtype}{", channels last" * last}'] = [
                _worst(*both) for both in zip(actual, exact)]
    return errors


def make_optimizers(dtype: str) -> tuple[Any, Any]:
    """Two equal optimizers of SSD300 with random gradients: for the kernels, and for Chainer.

    Args:
        dtype: float32 or float16, of the weights.
    """
    both = []
    for _ in range(2):
        np.random.seed(0)
        network = make_detector('ssd300', 20)
        if dtype == 'float16':
            halve(network)
        network.to_device('@cupy:0')
        both.append(make_optimizer('momentum_sgd', network, 1e-3, 5e-4))
    kernels, chainers = both
    # Chainer's own search for gradients that are not finite.
    chainers.check_nan_in_grads = types.MethodType(chainer.Optimizer.check_nan_in_grads, chainers)
    _set_gradients(kernels, chainers, cuda.cupy.random.default_rng(0))
    return kernels, chainers


def _set_gradients(kernels, chainers, rng):
    """Give two optimizers the same random gradients."""
    for one, other in _pairs(kernels, chainers):
        one.grad = random_array(rng, one.shape, one.dtype)
        other.grad = one.grad.copy()


def _pairs(*optimizers):
    """The parameters of the same name of several optimizers."""
    named = [dict(optimizer.target.namedparams()) for optimizer in optimizers]
    return [tuple(each[name] for each in named) for name in sorted(named[0])]


def check_update() -> dict[str, float]:
    """The largest error of weights and velocities after three updates, beside Chainer's."""
    errors = {}
    for dtype in DTYPES:
        kernels, chainers = make_optimizers(dtype)
        rng = cuda.cupy.random.default_rng(1)
        for _ in range(3):
            _set_gradients(kernels, chainers, rng)
            kernels.update()
            chainer.optimizers.MomentumSGD.update(chainers)
        errors[dtype] = max(
            _worst(actual, expected) for one, other in _pairs(kernels, chainers)
            for actual, expected in ((one.array, other.array), (
                one.update_rule.state['v'], other.update_rule.state['v'])))
    return errors


CHECKS = (check_pooling, check_relu_and_pooling, check_bias, check_add, check_join, check_normalize,
          check_update)
