"""How exact and how fast is the engine cudnn on this machine's GPU?

    python -m experiments.gpu.convolution --batchsize 32

First the engine is compared with NumPy in double precision on small shapes. Then each distinct
convolution of SSD300 and SSD512, with its ReLU unless the ReLU comes after a pooling, is timed in
turns: forward, and backward to images, weights and bias. The contestants are the engine in its four
precisions, Chainer's own code and, where torch is installed, PyTorch with channels_last. None of
them times algorithms beforehand. A contestant that fails is noted, and the others go on. The file
is written again after each layer.
"""
import collections
import functools
import importlib.util
import math
import statistics

from experiments.gpu.convolution_check import check, convolve, out_size
from experiments.timing.arrays import random_array
from experiments.timing.gpu_clock import free_memory, gpu_name, on_gpu, on_host
from experiments.timing.turns import describe_error, make_parser, ratio, save, take_turns
from multibox import engines
from multibox.engines.bfloat16 import array_dtype
from multibox.engines.convolution.function import ConvolutionReLU
from multibox.errors import ending_together
from multibox.flags import check_numbers
from multibox.networks import make_detector

import chainer
import numpy as np
from chainer.backends import cuda
from chainer.functions.connection.convolution_2d import Convolution2DFunction


def layers(model: str, device: str) -> collections.Counter:
    """Count the convolutions of a network.

    Args:
        model: a key of :data:`multibox.networks.MODELS`.
        device: name of the device.

    Returns:
        {layer: count}; a layer is ((C, H, W), W.shape, stride, pad, dilate, relu), the last whether
        the convolution computes the ReLU, too.
    """
    found = collections.Counter()

    class Note(chainer.FunctionHook):
        def forward_preprocess(self, function, inputs):
            if isinstance(function, Convolution2DFunction):
                found[(inputs[0].shape[1:], inputs[1].shape, function.sy, function.ph,
                       function.dy, isinstance(function, ConvolutionReLU))] += 1
    detector = make_detector(model, n_fg_class=20)
    detector.to_device(device)
    with engines.using(), Note(), chainer.no_backprop_mode():
        detector(detector.xp.zeros((2, 3, detector.insize, detector.insize), np.float32))
    return found


def _torch_convolve(precision, arrays, geometry, relu):
    """The step of :func:`convolve` in PyTorch."""
    import torch
    dtype = {'float16': torch.float16, 'bfloat16': torch.bfloat16}.get(precision, torch.float32)
    x, W, b, gy = (torch.as_tensor(array, device='cuda').to(dtype) for array in arrays)
    W = W.contiguous(memory_format=torch.channels_last)
    leaves = [leaf.detach().requires_grad_() for leaf in (x, W, b)]
    names = {'stride': 'stride', 'pad': 'padding', 'dilate': 'dilation'}
    options = {names[name]: value for name, value in geometry.items()}

    def step():
        torch.backends.cudnn.allow_tf32 = precision == 'tf32'
        y = torch.nn.functional.conv2d(*leaves, **options)
        y = torch.relu(y) if relu else y
        return [y, *torch.autograd.grad(y, leaves, gy)]
    return step


def _contestants(layer, batchsize):
    """Yield the name of each contestant at a layer, and a function that makes its step."""
    shape, w_shape, stride, pad, dilate, relu = layer
    geometry = {'stride': stride, 'pad': pad, 'dilate': dilate}
    rng = cuda.cupy.random.default_rng(0)
    gy_shape = batchsize, w_shape[0], *out_size(shape, w_shape, stride, pad, dilate)
    arrays = (random_array(rng, (batchsize, *shape), channels_last=True),
              random_array(rng, w_shape), random_array(rng, w_shape[:1]),
              random_array(rng, gy_shape, channels_last=True))
    for precision in engines.PRECISIONS:
        own = [array.astype(array_dtype(precision), copy=False) for array in arrays]
        yield f'cudnn {precision}', lambda p=precision, own=own: convolve(
            'cudnn', p, own, geometry, relu)
    yield 'chainer float32', lambda: convolve(
        'chainer', 'float32', [*map(cuda.cupy.ascontiguousarray, arrays)], geometry, relu)
    if importlib.util.find_spec('torch') is None:
        return
    for precision in engines.PRECISIONS:
        yield f'torch {precision}', lambda p=precision: _torch_convolve(p, arrays, geometry, relu)


def _measure(layer, batchsize, repeat):
    """Time a layer: seconds of the GPU, and ``launch``, seconds of the host.

    A contestant is made at its first call, so it fails on its own.
    """
    makers = {name: functools.cache(make) for name, make in _contestants(layer, batchsize)}
    steps = {name: lambda make=make: make()() for name, make in makers.items()}
    failures = {}
    seconds = take_turns(steps, repeat, on_gpu, warm_up=2, failures=failures)
    return {'seconds': seconds,
            'errors': {name: describe_error(error, 500) for name, error in failures.items()},
            'launch': {name: on_host(steps[name]) for name in seconds}}


def totals(measured: list[dict]) -> dict[str, dict]:
    """Sum the layers of a network, for each contestant that ran all of them.

    Args:
        measured: per layer its ``count``, its ``flop``, and by contestant ``seconds``, turn by
            turn, and ``launch``.

    Returns:
        By contestant: ``seconds`` turn by turn, ``tflop_per_second``, ``launch``, and ``times
        faster than`` each of the others.
    """
    names = set.intersection(*(set(layer['seconds']) for layer in measured))
    flop = sum(layer['count'] * layer['flop'] for layer in measured)
    found = {}
    for name in sorted(names):
        turns = [sum(layer['count'] * s for layer, s in zip(measured, turn)) for turn in zip(
            *(layer['seconds'][name] for layer in measured))]
        found[name] = {'seconds': turns, 'tflop_per_second': flop / statistics.median(turns) / 1e12,
                       'launch': sum(layer['count'] * layer['launch'][name] for layer in measured)}
    for own in found.values():
        own['times faster than'] = {other: ratio(found[other]['seconds'], own['seconds'])
                                    for other in found}
    return found


def _measure_network(model, batchsize, repeat, network, save_results):
    """Time all convolutions of a network; fills the dict ``network``, and saves each layer."""
    network['layers'] = measured = []
    for layer, count in layers(model, '@cupy:0').items():
        timed = _measure(layer, batchsize, repeat)
        free_memory()
        flop = 3 * 2 * batchsize * math.prod(layer[1]) * math.prod(out_size(*layer[:5]))
        names = 'x', 'W', 'stride', 'pad', 'dilate', 'relu'
        measured.append({**dict(zip(names, layer)), 'count': count, 'flop': flop, **timed})
        print(f'{model} {layer[0]} {layer[1]}: ' + ', '.join(
            f'{name} {1e3 * statistics.median(own):.2f}' for name, own in timed['seconds'].items())
            + ' ms', *timed['errors'].items(), flush=True)
        save_results()
    network['all'] = totals(measured)
    save_results()
    print(f'{model}, batch {batchsize}, all convolutions forward and backward')
    for name, own in network['all'].items():
        print(f'{name:>16}{1e3 * statistics.median(own["seconds"]):9.1f} ms'
              f'{own["tflop_per_second"]:8.1f} TFLOP/s   launched in {1e3 * own["launch"]:.1f} ms',
              flush=True)


def main(argv: list[str] | None = None) -> None:
    """Run the program."""
    parser = make_parser(__doc__, 'result/gpu/convolution.json', 5)
    parser.add_argument('--batchsize', type=int, default=32, metavar='N', help='number of images')
    parser.add_argument('--models', nargs='+', choices=('ssd300', 'ssd512', 'slim300'),
                        default=('ssd300', 'ssd512'), help='networks')
    args = parser.parse_args(argv)
    check_numbers(args, ('repeat', 'batchsize'), lowest=1)
    command = (f'python -m experiments.gpu.convolution --batchsize {args.batchsize} '
               f'--repeat {args.repeat} --models {" ".join(args.models)}')
    results = {'gpu': gpu_name(), 'relative errors': check(), 'networks': {}}
    for model in args.models:
        network = results['networks'][model] = {}
        _measure_network(model, args.batchsize, args.repeat, network,
                         lambda: save(args.out, command, results))


if __name__ == '__main__':
    with ending_together('experiments.gpu.convolution'):
        main()
