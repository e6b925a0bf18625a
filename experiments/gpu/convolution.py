"""How exact and how fast is the engine cudnn on this machine's GPU?

    python -m experiments.gpu.convolution --batchsize 32

First the engine against NumPy in double precision, on small shapes. Then each distinct convolution
of SSD300 and SSD512, with its ReLU unless that comes after a pooling, forward and backward to
images, weights and bias, by turns: the engine in its four precisions, Chainer's own code and, where
torch is installed, PyTorch with channels_last. Neither library times its algorithms beforehand.
What fails is noted, and the rest goes on; the file is written anew after every layer.
"""
import argparse
import collections
import math
import pathlib
import statistics

from experiments.gpu.clock import on_gpu
from experiments.speed.turns import elapsed, ratio, save, take_turns
from multibox import convolution
from multibox.convolution.relu import ConvolutionReLU
from multibox.detectors import make_detector
from multibox.gpu import functions

import chainer
import numpy as np
from chainer.backends.cuda import cupy
from chainer.functions.connection.convolution_2d import Convolution2DFunction

SMALL = {  # (B, C, H, W), (O, kh, kw), stride, pad, dilate
    '3 channels': ((2, 3, 30, 31), (64, 3, 3), 1, 1, 1),
    '3x3': ((2, 64, 19, 18), (64, 3, 3), 1, 1, 1),
    'head of 126': ((2, 64, 10, 10), (126, 3, 3), 1, 1, 1),
    'stride 2': ((2, 64, 19, 19), (48, 3, 3), 2, 1, 1),
    'stride 2, even': ((2, 64, 10, 10), (48, 3, 3), 2, 1, 1),
    'dilation 6': ((2, 64, 19, 19), (48, 3, 3), 1, 6, 6),
    '1x1': ((2, 64, 19, 19), (48, 1, 1), 1, 0, 1),
    'to one pixel': ((2, 64, 2, 2), (48, 4, 4), 1, 1, 1),
}
# Of the norm of the difference to that of the exact result: what rounded factors explain.
LIMIT = {'float32': 1e-5, 'tf32': 2e-3, 'float16': 2e-3, 'bfloat16': 1e-2}


def parse_args(argv=None):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--batchsize', type=int, default=32, metavar='N', help='images (32)')
    parser.add_argument('--repeat', type=int, default=5, metavar='N',
                        help='times each contestant is timed on each layer (5)')
    parser.add_argument('--models', nargs='+', choices=('ssd300', 'ssd512', 'slim300'),
                        default=('ssd300', 'ssd512'), help='networks (ssd300 ssd512)')
    parser.add_argument('--out', type=pathlib.Path, metavar='FILE',
                        default=pathlib.Path('result/gpu/convolution.json'),
                        help='(result/gpu/convolution.json)')
    return parser.parse_args(argv)


def on_host(call):
    """Seconds the host spends on launching what a call launches."""
    cupy.cuda.Device().synchronize()
    return elapsed(call)


def layers(model, device):
    """Count the convolutions of a network, as ((C, H, W), W.shape, stride, pad, dilate, relu);
    a ReLU is part of one on a GPU only."""
    found = collections.Counter()

    class Note(chainer.FunctionHook):
        def forward_preprocess(self, function, inputs):
            if isinstance(function, Convolution2DFunction):
                found[(inputs[0].shape[1:], inputs[1].shape, function.sy, function.ph,
                       function.dy, isinstance(function, ConvolutionReLU))] += 1
    detector = make_detector(model, n_fg_class=20)
    detector.to_device(device)
    functions.install()
    with Note(), chainer.no_backprop_mode():
        detector(detector.xp.zeros((2, 3, detector.insize, detector.insize), np.float32))
    functions.uninstall()
    return found


def out_size(shape, w_shape, stride, pad, dilate):
    """Height and width of the output."""
    return [(n + 2 * pad - (k - 1) * dilate - 1) // stride + 1
            for n, k in zip(shape[-2:], w_shape[-2:])]


def draw(shape):
    """A random float32 array (N,), or (N, C, H, W) with its channels innermost in memory."""
    if len(shape) == 1:
        return cupy.random.standard_normal(shape, np.float32)
    n, c, h, w = shape
    return cupy.random.standard_normal((n, h, w, c), np.float32).transpose(0, 3, 1, 2)


def chainers(engine, precision, x, W, b, gy, options, relu=False):
    """Make a function that runs a layer by Chainer and returns the output and three gradients."""
    node = ConvolutionReLU if relu else Convolution2DFunction

    def call():
        convolution.install(engine, precision)
        variables = [chainer.Variable(array) for array in (x, W, b)]
        y, = node(**options).apply(variables)
        y.grad = gy
        y.backward()
        return [y.array, *(variable.grad for variable in variables)]
    return call


def torches(torch, precision, arrays, options, relu):
    """The same by PyTorch."""
    dtype = {'float16': torch.float16, 'bfloat16': torch.bfloat16}.get(precision, torch.float32)
    x, W, b, gy = (torch.as_tensor(array, device='cuda').to(dtype) for array in arrays)
    W = W.contiguous(memory_format=torch.channels_last)
    leaves = [leaf.detach().requires_grad_() for leaf in (x, W, b)]
    options = {'padding' if name == 'pad' else 'dilation' if name == 'dilate' else name: value
               for name, value in options.items()}

    def call():
        torch.backends.cudnn.allow_tf32 = precision == 'tf32'
        y = torch.nn.functional.conv2d(*leaves, **options)
        y = torch.relu(y) if relu else y
        return [y, *torch.autograd.grad(y, leaves, gy)]
    return call


def contestants(shape, w_shape, stride, pad, dilate, relu, batchsize):
    """Yield (name, function that makes the contestant), for one layer."""
    options = {'stride': stride, 'pad': pad, 'dilate': dilate}
    size = out_size(shape, w_shape, stride, pad, dilate)
    x, W, b, gy = map(draw, ((batchsize, *shape), w_shape, w_shape[:1],
                             (batchsize, w_shape[0], *size)))
    arrays = x, cupy.ascontiguousarray(W), b, gy
    halves = [array.astype(np.float16) for array in arrays]
    for precision in convolution.PRECISIONS:
        own = halves if precision == 'float16' else arrays
        yield f'cudnn {precision}', lambda p=precision, own=own: chainers(
            'cudnn', p, *own, options, relu)
    yield 'chainer float32', lambda: chainers(
        'chainer', 'float32', *map(cupy.ascontiguousarray, arrays), options, relu)
    try:
        import torch
    except ImportError:
        return
    for precision in convolution.PRECISIONS:
        yield f'torch {precision}', lambda p=precision: torches(
            torch, p, arrays, options, relu)


def measure(layer, batchsize, repeat):
    """Time a layer.

    Returns:
        dict: for each contestant ``seconds`` (a list) of the GPU and ``launch``, seconds of the
        host, or ``errors``, why it has none.
    """
    ready, errors = {}, {}
    for name, make in contestants(*layer, batchsize):
        try:
            call = make()
            call()
            cupy.cuda.Device().synchronize()
            ready[name] = call
        except Exception as error:  # out of memory, or a library of another build
            errors[name] = f'{type(error).__name__}: {error}'[:500]
    seconds = take_turns(ready, repeat, on_gpu)
    return {'seconds': seconds, 'errors': errors,
            'launch': {name: on_host(call) for name, call in ready.items()}}


def relative_errors(shape, w_shape, stride, pad, dilate):
    """Compare with NumPy in double precision.

    Returns:
        {precision: {result: error}}, of the output and the gradients of images, weights and bias:
        the norm of the difference over that of the exact result.
    """
    options = {'stride': stride, 'pad': pad, 'dilate': dilate}
    w_shape = (w_shape[0], shape[1], *w_shape[1:])
    shapes = shape, w_shape, w_shape[:1], (
        shape[0], w_shape[0], *out_size(shape, w_shape, stride, pad, dilate))
    arrays = [draw(shape) for shape in shapes]
    exact = chainers('blas', 'float32', *(array.get().astype(float) for array in arrays), options)()
    errors = {}
    for precision in convolution.PRECISIONS:
        dtype = np.float16 if precision == 'float16' else np.float32
        cupy.full(1 << 24, np.nan, np.float32)  # back in the pool, it shows what is not written
        results = chainers('cudnn', precision, *(a.astype(dtype) for a in arrays), options)()
        errors[precision] = {
            name: float(np.linalg.norm(ours.get().astype(float) - right) / np.linalg.norm(right))
            for name, ours, right in zip(('y', 'gx', 'gW', 'gb'), results, exact)}
    return errors


def check():
    """Run :func:`relative_errors` on all small shapes, print, and return them by shape."""
    found = {}
    for name, case in SMALL.items():
        try:
            found[name] = relative_errors(*case)
        except Exception as error:
            found[name] = f'{type(error).__name__}: {error}'[:500]
            print(f'{name}: FAILED, {found[name]}')
            continue
        for precision, errors in found[name].items():
            wrong = not all(error <= LIMIT[precision] for error in errors.values())  # nan is
            print(f'{name:16}{precision:10}' + '   '.join(
                f'{result} {error:.1e}' for result, error in errors.items()),
                'WRONG' if wrong else '', flush=True)
    return found


def totals(measured):
    """Sum a network's layers for each contestant that ran all of them."""
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


def main(argv=None):
    args = parse_args(argv)
    command = (f'python -m experiments.gpu.convolution --batchsize {args.batchsize} '
               f'--repeat {args.repeat} --models {" ".join(args.models)}')
    properties = cupy.cuda.runtime.getDeviceProperties(cupy.cuda.Device().id)
    results = {'gpu': properties['name'].decode(), 'relative errors': check(), 'networks': {}}
    for model in args.models:
        measured = []
        results['networks'][model] = {'layers': measured}
        for layer, count in layers(model, '@cupy:0').items():
            shape, w_shape, stride, pad, dilate, relu = layer
            timed = measure(layer, args.batchsize, args.repeat)
            cupy.get_default_memory_pool().free_all_blocks()
            flop = 3 * 2 * args.batchsize * math.prod(w_shape) * math.prod(
                out_size(*layer[:5]))
            measured.append({'x': shape, 'W': w_shape, 'stride': stride, 'pad': pad,
                             'dilate': dilate, 'relu': relu, 'count': count, 'flop': flop, **timed})
            print(f'{model} {shape} {w_shape}: ' + ', '.join(
                f'{name} {1e3 * statistics.median(own):.2f}' for name, own in
                timed['seconds'].items()) + ' ms', *timed['errors'].items(), flush=True)
            save(args.out, command, results)
        results['networks'][model]['all'] = found = totals(measured)
        save(args.out, command, results)
        print(f'{model}, batch {args.batchsize}, all convolutions forward and backward')
        for name, own in found.items():
            print(f'{name:>16}{1e3 * statistics.median(own["seconds"]):9.1f} ms'
                  f'{own["tflop_per_second"]:8.1f} TFLOP/s   launched in '
                  f'{1e3 * own["launch"]:.1f} ms', flush=True)


if __name__ == '__main__':
    main()
