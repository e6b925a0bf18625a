"""Pooling, normalisation and the update on a GPU: are they right, and how fast beside Chainer's?

    python -m experiments.gpu.ops

First the kernels of multibox/gpu/functions.py are held to the CPU's results, or Chainer's on the
GPU. Then they and Chainer's own take turns on what SSD300 gives them in a step of 32 images, there
and back; ``wall`` is from the call until the GPU is done, ``events`` the GPU's own time, behind a
pause that hides the launches. The share is that of the bandwidth of a copy, if each array is moved
once. What fails is noted.
"""
import argparse
import pathlib
import statistics

from experiments.gpu.clock import Clock, copy_bandwidth, spread, take_turns
from experiments.gpu.loss import Results, free_memory
from experiments.speed import turns
from multibox.convolution import pooling as pooling_on_cpu
from multibox.detectors import make_detector
from multibox.gpu import functions
from multibox.training import make_optimizer

import chainer
import chainer.functions as F
import numpy as np
from chainer.backends import cuda
from chainercv.links.model.ssd import Normalize

POOLINGS = {  # channels, size, and the window of max pooling, from the first to the last
    'pool1': (64, 300, {'ksize': 2}), 'pool2': (128, 150, {'ksize': 2}),
    'pool3': (256, 75, {'ksize': 2}), 'pool4': (512, 38, {'ksize': 2}),
    'pool5': (512, 19, {'ksize': 3, 'stride': 1, 'pad': 1})}
DTYPES = 'float32', 'float16'


def parse_args(argv=None):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--repeat', type=int, default=20, metavar='N',
                        help='timed turns of each contestant (20)')
    parser.add_argument('--batchsize', type=int, default=32, metavar='B', help='images (32)')
    parser.add_argument('--out', type=pathlib.Path, metavar='FILE',
                        default=pathlib.Path('result/gpu/ops.json'),
                        help='written after each part (result/gpu/ops.json)')
    return parser.parse_args(argv)


def by(install, step):
    """A step that runs by the kernels or by Chainer's own; it looks up its methods by itself."""
    def run():
        install()
        return step()
    return run


def there_and_back(function, x, gy):
    """A function that computes y and the gradients; returns y and that of x."""
    def step():
        variable = chainer.Variable(x)
        y = function(variable)
        y.grad = gy
        y.backward()
        return y.array, variable.grad
    return step


def draw(xp, shape, dtype, channels_last=False):
    x = xp.random.standard_normal(shape, dtype=np.float32).astype(dtype)
    if channels_last:
        x = xp.ascontiguousarray(x.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
    return x


def worst(actual, expected):
    """The largest difference of two arrays relative to the largest number, a float."""
    actual, expected = (cuda.to_cpu(array).astype(float) for array in (actual, expected))
    return float(abs(actual - expected).max() / abs(expected).max())


def pool(options):
    return lambda x: F.max_pooling_2d(x, **options)


def check_pooling(xp):
    """Errors of maxima and gradients, of two images."""
    errors = {}
    for name, (channels, size, options) in POOLINGS.items():
        for dtype in DTYPES:
            for last in False, True:
                x = draw(xp, (2, channels, size, size), dtype, last)
                functions.install()
                gy = draw(xp, F.max_pooling_2d(x, **options).shape, dtype)
                actual = there_and_back(pool(options), x, gy)()
                window = [(n, n) for n in (options['ksize'], options.get('stride', 2),
                                           options.get('pad', 0))]
                y, index = pooling_on_cpu.max_pool(cuda.to_cpu(x), window, gy.shape[2:])
                gx = pooling_on_cpu.max_pool_gradient(cuda.to_cpu(gy), index, window, (size, size))
                errors[f'{name}, {dtype}{", channels last" * last}'] = [
                    worst(*both) for both in zip(actual, (y, gx))]
    return errors


def normalize(scale, device):
    link = Normalize(scale.size)
    link.scale.array = scale
    link.to_device(device)
    link.cleargrads()
    return link


def check_normalize(xp):
    """Errors of y, gx and gscale, of two images, against float64 on the CPU."""
    errors = {}
    functions.install()
    for dtype in DTYPES:
        for last in False, True:
            x, gy = (draw(xp, (2, 512, 38, 38), dtype, last) for _ in range(2))
            scale = np.linspace(10, 20, 512).astype(dtype)
            in_double = [cuda.to_cpu(array).astype(float) for array in (scale, x, gy)]
            results = []
            for device, (s, *arrays) in ('@cupy:0', (scale, x, gy)), ('@numpy', in_double):
                link = normalize(s, device)
                results.append([*there_and_back(link, *arrays)(), link.scale.grad])
            errors[f'{dtype}{", channels last" * last}'] = [
                worst(*both) for both in zip(*results)]
    return errors


def optimizers(xp, dtype):
    """Two alike, of SSD300's parameters, with random gradients."""
    both = []
    for _ in range(2):
        np.random.seed(0)
        net = make_detector('ssd300', 20)
        for parameter in net.params():
            parameter.array = parameter.array.astype(dtype)
        net.to_device('@cupy:0')
        both.append(make_optimizer('momentum_sgd', net, 1e-3, 5e-4))
        both[-1].use_fp32_update()
    for one, other in zip(*(sorted(each.target.namedparams()) for each in both)):
        one[1].grad = draw(xp, one[1].shape, dtype)
        other[1].grad = one[1].grad.copy()
    return both


def check_update(xp):
    """The worst error of three updates' weights and states, beside Chainer's on the GPU."""
    errors = {}
    for dtype in DTYPES:
        ours, chainers = optimizers(xp, dtype)
        for _ in range(3):
            for one, other in zip(*(sorted(each.target.namedparams())
                                    for each in (ours, chainers))):
                one[1].grad = draw(xp, one[1].shape, dtype)
                other[1].grad = one[1].grad.copy()
            functions.install()
            ours.update()
            functions.uninstall()
            chainers.update()
        errors[dtype] = max(
            worst(mine, theirs)
            for (_, one), (_, other) in zip(*(sorted(each.target.namedparams())
                                              for each in (ours, chainers)))
            for mine, theirs in ((one.array, other.array), (
                one.update_rule.state['v'], other.update_rule.state['v'])))
    return errors


def pooling_steps(xp, n, dtype, name):
    """{contestant: step}, and the bytes a step must move."""
    channels, size, options = POOLINGS[name]
    functions.install()
    x = draw(xp, (n, channels, size, size), dtype)
    gy = draw(xp, F.max_pooling_2d(x, **options).shape, dtype)
    last = [xp.ascontiguousarray(array.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
            for array in (x, gy)]
    return {
        'chainer': by(functions.uninstall, there_and_back(pool(options), x, gy)),
        'ours': by(functions.install, there_and_back(pool(options), x, gy)),
        'ours, channels last': by(functions.install, there_and_back(pool(options), *last)),
    }, 2 * (x.nbytes + gy.nbytes + gy.size)


def relu_steps(xp, n, dtype, name):
    """ReLU before pooling as Chainer's, and after it as ours."""
    channels, size, options = POOLINGS[name]
    x = draw(xp, (n, channels, size, size), dtype)
    gy = draw(xp, pool(options)(x).shape, dtype)
    return {
        'chainer': by(functions.uninstall, there_and_back(
            lambda x: F.max_pooling_2d(F.relu(x), **options), x, gy)),
        'ours': by(functions.install, there_and_back(
            lambda x: F.relu(F.max_pooling_2d(x, **options)), x, gy)),
    }, 2 * x.nbytes + 7 * gy.nbytes + 2 * gy.size


def normalize_steps(xp, n, dtype):
    x, gy = (draw(xp, (n, 512, 38, 38), dtype) for _ in range(2))
    link = normalize(np.full(512, 20, dtype), '@cupy:0')
    return {'chainer': by(functions.uninstall, there_and_back(link, x, gy)),
            'ours': by(functions.install, there_and_back(link, x, gy))}, 5 * x.nbytes


def update_steps(xp, n, dtype):
    ours, chainers = optimizers(xp, dtype)
    size = sum(parameter.size for parameter in ours.target.params())
    return {'chainer': by(functions.uninstall, lambda: chainers.update()),
            'ours': by(functions.install, lambda: ours.update())}, 20 * size  # in either dtype


def finite_steps(xp, n, dtype):
    """The search for what is not finite, under dynamic scaling of the loss."""
    ours, chainers = optimizers(xp, dtype)
    for optimizer in ours, chainers:
        optimizer.loss_scaling()
    size = sum(parameter.size for parameter in ours.target.params())
    return {'chainer': by(functions.uninstall, lambda: chainers.check_nan_in_grads()),
            'ours': by(functions.install, lambda: ours.check_nan_in_grads()),
            }, size * np.dtype(dtype).itemsize


def parts():
    """Yield the name of a part, the function that makes its steps, and its arguments."""
    for dtype in DTYPES:
        for name in POOLINGS:
            yield f'{name}, {dtype}', pooling_steps, (dtype, name)
        for name in ('pool1', 'pool2', 'pool3'):
            yield f'ReLU and {name}, {dtype}', relu_steps, (dtype, name)
        for make in normalize_steps, update_steps, finite_steps:
            yield f'{make.__name__.partition("_")[0]}, {dtype}', make, (dtype,)


def measure(clock, name, steps, moved, bandwidth, repeat):
    seconds = take_turns(clock, steps, repeat)
    found = {'bytes': moved}
    for contestant, each in seconds.items():
        found[contestant] = {kind: spread(each[kind]) for kind in each}
        if bandwidth:
            found[contestant]['share_of_copy_bandwidth'] = (
                moved / statistics.median(each['events']) / bandwidth)
    found['times_ours'] = {kind: turns.ratio(seconds['chainer'][kind], seconds['ours'][kind])
                           for kind in ('wall', 'events')}
    print(f'{name}: ' + '; '.join(
        f'{contestant} {found[contestant]["wall"]["median"]:.0f} us wall, '
        f'{found[contestant]["events"]["median"]:.0f} on the GPU' for contestant in steps)
        + f'; chainer {found["times_ours"]["wall"]["median"]:.1f} times ours', flush=True)
    return found


def main(argv=None):
    args = parse_args(argv)
    if not cuda.available:
        raise SystemExit('experiments.gpu.ops: CuPy finds no GPU here')
    xp = cuda.cupy
    results = Results(args.out, 'python -m experiments.gpu.ops '
                      f'--repeat {args.repeat} --batchsize {args.batchsize}')
    results.values['device'] = xp.cuda.runtime.getDeviceProperties(0)['name'].decode()
    results.values['relative_errors'] = {}
    for check in check_pooling, check_normalize, check_update:
        with results.noting_failure(check.__name__):
            results.values['relative_errors'][check.__name__] = errors = check(xp)
            print(check.__name__, errors, flush=True)
        free_memory(xp)
    clock, bandwidth = Clock(), None
    with results.noting_failure('bandwidth'):
        bandwidth = results.values['copy_bytes_per_second'] = copy_bandwidth(clock, args.repeat)
    for name, make, arguments in parts():
        with results.noting_failure(name):
            results.values[name] = measure(
                clock, name, *make(xp, args.batchsize, *arguments), bandwidth, args.repeat)
        free_memory(xp)
    print('failed:', ', '.join(results.values['failed']) or 'nothing')


if __name__ == '__main__':
    main()
