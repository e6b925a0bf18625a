"""Pooling, normalisation and the update on a GPU: are they right, and how fast beside Chainer's?

    python -m experiments.gpu.ops

First the kernels are compared with the CPU's results, and the update with Chainer's on the GPU.
Then the kernels and Chainer's own code take turns at the operations of SSD300 in a step of 32
images, forward and backward. ``wall`` is the time from the call until the GPU is done. ``events``
is the GPU's own time, behind a pause that hides the launches. The share relates to the bandwidth of
a copy, as if each array were moved once. A part that fails is noted, and the others go on.
"""
import functools
import statistics

from experiments.gpu.ops_check import CHECKS, DTYPES, POOLINGS, make_optimizers
from experiments.timing import gpu_clock
from experiments.timing.arrays import random_array
from experiments.timing.steps import forward_and_backward
from experiments.timing.turns import Results, make_parser, ratio, spread, take_turns
from multibox import engines
from multibox.errors import ending_together
from multibox.flags import check_numbers
from multibox.networks.layers import L2Normalization

import chainer
import chainer.functions as F
import numpy as np
from chainer.backends import cuda
from chainer.initializers import Constant
from chainercv.links.model.ssd import Normalize

# Each function makes the contestants for n images, by name, and returns the bytes to move, too.


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
    x = random_array(rng, (n, channels, size, size), dtype)
    gy = random_array(rng, engines.max_pooling_2d(x, **window).shape, dtype)
    return {
        'chainer': forward_and_backward(
            lambda x: F.max_pooling_2d(F.relu(x), **window), (x,), gy),
        'ours': forward_and_backward(
            lambda x: engines.relu(engines.max_pooling_2d(x, **window)), (x,), gy),
    }, 2 * x.nbytes + 7 * gy.nbytes + 2 * gy.size


def _normalize_steps(n, dtype):
    rng = cuda.cupy.random.default_rng(0)
    x, gy = (random_array(rng, (n, 512, 38, 38), dtype) for _ in range(2))

    def step(link_class):
        link = link_class(512, initial=Constant(20))
        link.scale.array = link.scale.array.astype(dtype)
        link.to_device('@cupy:0')
        link.cleargrads()
        return forward_and_backward(link, (x,), gy)
    return {'chainer': step(Normalize), 'ours': step(L2Normalization)}, 5 * x.nbytes


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


def _parts():
    """Yield the name of a part, the function that makes its steps, and its arguments after n."""
    for dtype in DTYPES:
        for name in POOLINGS:
            yield f'{name}, {dtype}', _pooling_steps, (dtype, name)
        for name in ('pool1', 'pool2', 'pool3'):
            yield f'ReLU and {name}, {dtype}', _relu_steps, (dtype, name)
        for name, make in (('normalize', _normalize_steps), ('update', _update_steps),
                           ('finite', _finite_steps)):
            yield f'{name}, {dtype}', make, (dtype,)


def _measure(clock, name, steps, n_byte, bandwidth, repeat):
    """Time the contestants of a part; ``times_ours`` are multiples of the time of the kernels."""
    seconds = {contestant: gpu_clock.by_kind(readings) for contestant, readings
               in take_turns(steps, repeat, clock, gpu_clock.WARM_UP).items()}
    found = {'bytes': n_byte}
    for contestant, each in seconds.items():
        found[contestant] = {kind: spread(each[kind]) for kind in each}
        if bandwidth:
            found[contestant]['share_of_copy_bandwidth'] = (
                n_byte / statistics.median(each['events']) / bandwidth)
    found['times_ours'] = {kind: ratio(seconds['chainer'][kind], seconds['ours'][kind])
                           for kind in ('wall', 'events')}
    print(f'{name}: ' + '; '.join(
        f'{contestant.replace("ours", "multibox")} {found[contestant]["wall"]["median"]:.0f} us '
        f'wall, {found[contestant]["events"]["median"]:.0f} on the GPU' for contestant in steps)
        + f'; chainer {found["times_ours"]["wall"]["median"]:.1f} times multibox', flush=True)
    return found


def main(argv: list[str] | None = None) -> None:
    """Run the program; the file is written again after each part."""
    parser = make_parser(__doc__, 'result/gpu/ops.json', 20)
    parser.add_argument('--batchsize', type=int, default=32, metavar='B', help='number of images')
    args = parser.parse_args(argv)
    check_numbers(args, ('repeat', 'batchsize'), lowest=1)
    gpu = gpu_clock.gpu_name()
    results = Results(args.out, 'python -m experiments.gpu.ops '
                      f'--repeat {args.repeat} --batchsize {args.batchsize}')
    results.values.update(device=gpu, relative_errors={})
    for check in CHECKS:
        with results.part(check.__name__):
            results.values['relative_errors'][check.__name__] = errors = check()
            print(check.__name__, errors, flush=True)
        gpu_clock.free_memory()
    clock = gpu_clock.Clock()
    bandwidth = gpu_clock.copy_bandwidth(clock, results, args.repeat)
    for name, make, arguments in _parts():
        with results.part(name):
            results.values[name] = _measure(
                clock, name, *make(args.batchsize, *arguments), bandwidth, args.repeat)
        gpu_clock.free_memory()
    print('failed:', ', '.join(results.values['failed']) or 'nothing')


if __name__ == '__main__':
    with ending_together('experiments.gpu.ops'):
        main()
