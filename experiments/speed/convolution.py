"""How much faster is multibox.convolution than Chainer's convolution on this machine's CPU?

    python -m experiments.speed.convolution --batchsize 2

Forward and backward, of whole networks and of single layers. Both engines take turns in one
process, so a ratio compares neighbours in time; memory is as glibc leaves it, for both.
"""
import argparse
import json
import os
import pathlib
import platform
import statistics
import time

from multibox import convolution
from multibox.detectors import make_detector

import chainer
import chainer.functions as F
import numpy as np

SLIM_BATCHSIZE = 8  # that of train.py's recipe
ENGINES = {'chainer': convolution.uninstall, 'engine': convolution.install}
LAYERS = {  # (C, H, W), (O, kh, kw), stride, pad, dilate
    'ssd300': {
        'conv1_2': ((64, 300, 300), (64, 3, 3), 1, 1, 1),
        'conv3_2': ((256, 75, 75), (256, 3, 3), 1, 1, 1),
        'conv5_2': ((512, 19, 19), (512, 3, 3), 1, 1, 1),
        'conv6, dilation 6': ((512, 19, 19), (1024, 3, 3), 1, 6, 6),
        'conv7, 1x1': ((1024, 19, 19), (1024, 1, 1), 1, 0, 1),
    },
    'slim300': {
        'stem, 300 to 75': ((3, 300, 300), (32, 6, 6), 4, 1, 1),
        '75 to 38': ((32, 75, 75), (64, 3, 3), 2, 1, 1),
        '38': ((64, 38, 38), (64, 3, 3), 1, 1, 1),
        '19': ((128, 19, 19), (128, 3, 3), 1, 1, 1),
        '5 to 3': ((128, 5, 5), (128, 3, 3), 2, 1, 1),
        'head, 38': ((64, 38, 38), (84, 3, 3), 1, 1, 1),
    },
}


def parse_args(argv=None):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--batchsize', type=int, default=2, metavar='N',
                        help=f'images in a batch of ssd300; slim300 has {SLIM_BATCHSIZE} (2)')
    parser.add_argument('--repeat', type=int, default=5, metavar='N',
                        help='times each engine is timed on each case (5)')
    parser.add_argument('--out', type=pathlib.Path, metavar='FILE',
                        default=pathlib.Path(__file__).with_suffix('.json'),
                        help='(convolution.json beside this script)')
    return parser.parse_args(argv)


def draw(*shape):
    return np.random.default_rng(0).standard_normal(shape).astype(np.float32)


def network_step(name, batchsize):
    """Make a function that runs a network forward, and backward from a sum of squares."""
    model = make_detector(name, n_fg_class=20)
    imgs = draw(batchsize, 3, model.insize, model.insize)

    def step():
        mb_locs, mb_confs = model(imgs)
        model.cleargrads()
        (F.sum(F.square(mb_locs)) + F.sum(F.square(mb_confs))).backward()
    return step


def layer_step(batchsize, x_shape, w_shape, stride, pad, dilate):
    """Make a function that runs a layer forward and backward to its input, weights and bias."""
    o, *kernel = w_shape
    x, W, b = map(chainer.Variable, (draw(batchsize, *x_shape), draw(o, x_shape[0], *kernel),
                                     draw(o)))

    def step():
        y = F.convolution_2d(x, W, b, stride, pad, dilate=dilate)
        y.grad = y.array
        y.backward()
        for variable in (x, W, b):
            variable.cleargrad()
    return step


def cases(batchsize):
    """Yield (name, step)."""
    for model, batch in (('ssd300', batchsize), ('slim300', SLIM_BATCHSIZE)):
        yield f'{model}, batch {batch}', network_step(model, batch)
        for name, shape in LAYERS[model].items():
            yield f'{model} {name}', layer_step(batch, *shape)


def measure(step, repeat):
    """Time a step by turns: {'chainer': seconds, 'engine': seconds, 'ratio': of the two}, lists."""
    seconds = {name: [] for name in ENGINES}
    for turn in range(-1, repeat):
        for name, select in ENGINES.items():
            select()
            start = time.perf_counter()
            step()
            if turn >= 0:  # the first turn warms up
                seconds[name].append(time.perf_counter() - start)
    ratio = [slow / fast for slow, fast in zip(seconds['chainer'], seconds['engine'])]
    return {**seconds, 'ratio': ratio}


def processor():
    """Return the processor's name."""
    cpuinfo = pathlib.Path('/proc/cpuinfo')  # platform.processor() is empty on many Linuxes
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    names = [line.partition(':')[2].strip() for line in lines if line.startswith('model name')]
    return names[0] if names else platform.processor()


def main(argv=None):
    args = parse_args(argv)
    results = {}
    print(f'{"forward and backward, ms":36}{"chainer":>9}{"engine":>9}{"ratio":>8}   min to max')
    for name, step in cases(args.batchsize):
        result = results[name] = measure(step, args.repeat)
        slow, fast = (1e3 * statistics.median(result[engine]) for engine in ENGINES)
        ratio = result['ratio']
        print(f'{name:36}{slow:9.1f}{fast:9.1f}{statistics.median(ratio):8.2f}'
              f'   {min(ratio):.2f} to {max(ratio):.2f}', flush=True)
    args.out.write_text(json.dumps({
        'command': f'python -m experiments.speed.convolution --batchsize {args.batchsize} '
                   f'--repeat {args.repeat}',
        'processor': processor(), 'cores': os.cpu_count(),
        'OPENBLAS_NUM_THREADS': os.environ.get('OPENBLAS_NUM_THREADS'),  # null: one a core
        'system': platform.platform(), 'python': platform.python_version(), 'numpy': np.__version__,
        'chainer': chainer.__version__, 'seconds': results}, indent=1) + '\n')


if __name__ == '__main__':
    main()
