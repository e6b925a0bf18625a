"""How much faster are the engines of multibox.convolution than Chainer on this machine's CPU?

    python -m experiments.speed.convolution --batchsize 4

Forward and backward of whole networks and of single layers, by turns, so a ratio compares
neighbours in time. ``chainer`` is Chainer as it comes, in a process of its own; ``chainer, memory
kept`` and the engines have keep_freed_memory(). With torch and torchvision installed, torchvision's
SSD300 takes part. Single layers are compared with memory kept for all.
"""
import argparse
import contextlib
import importlib.util
import multiprocessing
import pathlib
import statistics

from experiments.speed.turns import ratio, save, take_turns
from multibox import convolution
from multibox.detectors import make_detector

import chainer
import chainer.functions as F
import numpy as np

SLIM_BATCHSIZE = 8  # that of train.py's recipe
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
        'head, 38': ((64, 38, 38), (84, 3, 3), 1, 1, 1),
    },
}


def parse_args(argv=None):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--batchsize', type=int, default=4, metavar='N',
                        help=f'images in a batch of ssd300; slim300 has {SLIM_BATCHSIZE} (4)')
    parser.add_argument('--repeat', type=int, default=5, metavar='N',
                        help='times each engine is timed on each case (5)')
    parser.add_argument('--out', type=pathlib.Path, metavar='FILE',
                        default=pathlib.Path('result/speed/convolution.json'),
                        help='(result/speed/convolution.json)')
    return parser.parse_args(argv)


def engines():
    """Names of the engines this machine's CPU has, Chainer's own code first."""
    missing = {name: own[0].missing() for name, own in convolution.ENGINES.items()
               if own and name != 'cudnn'}
    for name, why in missing.items():
        if why:
            print(f'without {name}: {why}')
    return ['chainer', *(name for name, why in missing.items() if not why)]


def serve(pipe, model, batchsize):
    """Run a step of a network whenever asked, with Chainer's own code."""
    step = network(model, batchsize)
    while pipe.recv():
        step()
        pipe.send(True)


@contextlib.contextmanager
def chainer_as_it_comes(model, batchsize):
    """Make a contestant in a process of its own: how memory is kept is the same for a process."""
    context = multiprocessing.get_context('spawn')
    ours, its = context.Pipe()
    process = context.Process(target=serve, args=(its, model, batchsize), daemon=True)
    process.start()

    def call():
        ours.send(True)
        ours.recv()
    try:
        yield call
    finally:
        ours.send(False)
        process.join()


def by_engine(step):
    """Make a contestant of each engine: ``step`` with that engine in place."""
    def contestant(name):
        def call():
            convolution.install(name)
            step()
        return call
    return {name: contestant(name) for name in engines()}


def draw(*shape):
    return np.random.default_rng(0).standard_normal(shape).astype(np.float32)


def network(name, batchsize):
    """Make a function that runs a network forward, and backward from a sum of squares."""
    model = make_detector(name, n_fg_class=20)
    imgs = draw(batchsize, 3, model.insize, model.insize)

    def step():
        mb_locs, mb_confs = model(imgs)
        model.cleargrads()
        (F.sum(F.square(mb_locs)) + F.sum(F.square(mb_confs))).backward()
    return step


def layer(batchsize, x_shape, w_shape, stride, pad, dilate, dtype=np.float32):
    """Make a function that runs a layer forward and backward to its input, weights and bias.

    It returns the output and the three gradients.
    """
    o, *kernel = w_shape
    # With the channels innermost in memory, as between layers of oneDNN and of Chainer itself.
    c, h, w = x_shape
    imgs = draw(batchsize, h, w, c).transpose(0, 3, 1, 2)
    arrays = imgs, draw(o, c, *kernel), draw(o)
    x, W, b = (chainer.Variable(array.astype(dtype)) for array in arrays)

    def step():
        y = F.convolution_2d(x, W, b, stride, pad, dilate=dilate)
        y.grad = y.array
        y.backward()
        results = [y.array, x.grad, W.grad, b.grad]
        for variable in (x, W, b):
            variable.cleargrad()
        return results
    return step


def torch_ssd300(batchsize):
    """Contestants of PyTorch: torchvision's SSD300 without its own loss, channels innermost."""
    if not all(map(importlib.util.find_spec, ('torch', 'torchvision'))):
        print('without torch: torch or torchvision is not installed')
        return {}
    import torch
    import torchvision
    ssd = torchvision.models.detection.ssd300_vgg16(
        weights=None, weights_backbone=None, num_classes=21).to(memory_format=torch.channels_last)
    imgs = torch.from_numpy(draw(batchsize, 3, 300, 300)).to(memory_format=torch.channels_last)

    def contestant(precision):
        def call():
            ssd.zero_grad()
            with precision():
                outputs = ssd.head(list(ssd.backbone(imgs).values()))
            sum(output.float().square().sum() for output in outputs.values()).backward()
        return call
    return {'torch': contestant(contextlib.nullcontext),
            'torch-bf16': contestant(lambda: torch.autocast('cpu', torch.bfloat16))}


def cases(batchsize):
    """Yield (name, contestants)."""
    for model, batch in (('ssd300', batchsize), ('slim300', SLIM_BATCHSIZE)):
        torch = torch_ssd300(batch) if model == 'ssd300' else {}
        with chainer_as_it_comes(model, batch) as plain:
            own = by_engine(network(model, batch))
            kept = {'chainer, memory kept': own.pop('chainer')}
            yield f'{model}, batch {batch}', {'chainer': plain, **kept, **own, **torch}
        for name, shape in LAYERS[model].items():
            yield f'{model} {name}', by_engine(layer(batch, *shape))


def deviations():
    """Largest error of an output or a gradient of SSD300's layers by engine, relative to the
    largest of the array; Chainer's own in double precision are taken for exact."""
    worst = dict.fromkeys(engines(), 0.)
    for shape in LAYERS['ssd300'].values():
        convolution.install('chainer')
        exact = layer(1, *shape, dtype=np.float64)()
        for name in worst:
            convolution.install(name)
            for result, of in zip(layer(1, *shape)(), exact):
                worst[name] = max(worst[name], float(abs(result - of).max() / abs(of).max()))
    return worst


def main(argv=None):
    args = parse_args(argv)
    convolution.keep_freed_memory()
    timings = {}
    for case, contestants in cases(args.batchsize):
        seconds = take_turns(contestants, args.repeat)
        faster = {name: ratio(seconds['chainer'], own) for name, own in seconds.items()}
        timings[case] = {'seconds': seconds, 'times faster than chainer': faster}
        print(f'{case}: forward and backward')
        for name, own in seconds.items():
            print(f'{name:>22}{1e3 * statistics.median(own):9.1f} ms{faster[name]["median"]:8.2f}'
                  f' times   {faster[name]["min"]:.2f} to {faster[name]["max"]:.2f}', flush=True)
    wrong = deviations()
    print('largest error of an output or a gradient of a layer, relative to the largest: '
          + ', '.join(f'{name} {error:.1e}' for name, error in wrong.items()))
    save(args.out, f'python -m experiments.speed.convolution --batchsize {args.batchsize} '
                   f'--repeat {args.repeat}', {'timings': timings, 'error': wrong})


if __name__ == '__main__':
    main()
