"""How much faster are the convolution engines than Chainer's code on this machine's CPU?

    python -m experiments.speed.convolution --batchsize 4

Networks of multibox run forward and backward with each engine, and so do single layers. The
contestant ``chainer`` is Chainer's own code in a process of its own, where freed memory goes back
to the system. The contestant ``chainer, memory kept`` and the engines keep freed memory. With torch
and torchvision installed, torchvision's SSD300 takes part. Single layers all keep freed memory.
"""
import contextlib
import functools
import importlib.util
import statistics

from experiments.timing.arrays import random_array
from experiments.timing.contestant import Contestant
from experiments.timing.rivals import Rival, command
from experiments.timing.steps import cpu_engines, forward_and_backward, with_engine
from experiments.timing.turns import make_parser, ratio, save, take_turns
from multibox import engines
from multibox.devices import select_device
from multibox.errors import ending_together
from multibox.flags import check_numbers
from multibox.networks import make_detector

import chainer.functions as F
import numpy as np

SLIM_BATCHSIZE = 8  # the default of train.py
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


def _with_engines(step):
    return {name: with_engine(step, name) for name in cpu_engines()}


def _network(name, batchsize):
    """A step of a network, forward and backward, from the sum of the squares of its outputs."""
    model = make_detector(name, n_fg_class=20)
    shape = batchsize, 3, model.insize, model.insize
    imgs = random_array(np.random.default_rng(0), shape)

    def step():
        mb_locs, mb_confs = model(imgs)
        model.cleargrads()
        (F.sum(F.square(mb_locs)) + F.sum(F.square(mb_confs))).backward()
    return step


def chainers_network(name: str, batchsize: int) -> Contestant:
    """A step of a network by Chainer's own code, for a process of its own.

    Args:
        name: a key of :data:`multibox.networks.MODELS`.
        batchsize: number of images.
    """
    return Contestant(with_engine(_network(name, batchsize), 'chainer'))


def _layer(batchsize, x_shape, w_shape, stride, pad, dilate, dtype=np.float32):
    """A step of a layer of :data:`LAYERS` that returns y and the gradients of x, W and b."""
    rng = np.random.default_rng(0)
    o, *kernel = w_shape
    arrays = (random_array(rng, (batchsize, *x_shape), dtype, channels_last=True),
              random_array(rng, (o, x_shape[0], *kernel), dtype), random_array(rng, (o,), dtype))
    convolve = functools.partial(engines.convolution_2d, stride=stride, pad=pad, dilate=dilate)
    return forward_and_backward(convolve, arrays)


def _torch_ssd300(batchsize):
    """Steps of torchvision's SSD300 without its loss, channels innermost; none without torch."""
    if not all(map(importlib.util.find_spec, ('torch', 'torchvision'))):
        print('without torch: torch or torchvision is not installed')
        return {}
    import torch
    import torchvision
    ssd = torchvision.models.detection.ssd300_vgg16(
        weights=None, weights_backbone=None, num_classes=21).to(memory_format=torch.channels_last)
    imgs = torch.from_numpy(random_array(np.random.default_rng(0), (batchsize, 3, 300, 300)))
    imgs = imgs.to(memory_format=torch.channels_last)

    def step(precision):
        ssd.zero_grad()
        with precision():
            outputs = ssd.head(list(ssd.backbone(imgs).values()))
        sum(output.float().square().sum() for output in outputs.values()).backward()
    bfloat16 = functools.partial(torch.autocast, 'cpu', torch.bfloat16)
    return {'torch': functools.partial(step, contextlib.nullcontext),
            'torch-bf16': functools.partial(step, bfloat16)}


def _cases(batchsize):
    """Yield the name and the contestants of each network and each layer."""
    for model, batch in (('ssd300', batchsize), ('slim300', SLIM_BATCHSIZE)):
        torch = _torch_ssd300(batch) if model == 'ssd300' else {}
        plain = command('experiments.speed.convolution', 'chainers_network',
                        {'name': model, 'batchsize': batch})
        with Rival(plain, limit=600) as rival:
            rival.wait_until_ready()
            kept = _with_engines(_network(model, batch))
            yield f'{model}, batch {batch}', {
                'chainer': rival.turn, 'chainer, memory kept': kept.pop('chainer'), **kept, **torch}
        for name, shape in LAYERS[model].items():
            yield f'{model} {name}', _with_engines(_layer(batch, *shape))


def _errors():
    """The largest error of an output or a gradient of SSD300's layers, by engine.

    It is relative to the largest number of Chainer's result in double precision.
    """
    worst = dict.fromkeys(cpu_engines(), 0.)
    for shape in LAYERS['ssd300'].values():
        exact = with_engine(_layer(1, *shape, dtype=np.float64), 'chainer')()
        for name in worst:
            for result, of in zip(with_engine(_layer(1, *shape), name)(), exact):
                worst[name] = max(worst[name], float(abs(result - of).max() / abs(of).max()))
    return worst


def main(argv: list[str] | None = None) -> None:
    """Run the program."""
    parser = make_parser(__doc__, 'result/speed/convolution.json', 5)
    parser.add_argument('--batchsize', type=int, default=4, metavar='N',
                        help=f'images in a batch of ssd300; slim300 has {SLIM_BATCHSIZE}')
    args = parser.parse_args(argv)
    check_numbers(args, ('repeat', 'batchsize'), lowest=1)
    engines.set_up(select_device('-1'))
    timings = {}
    for case, contestants in _cases(args.batchsize):
        seconds = take_turns(contestants, args.repeat)
        faster = {name: ratio(seconds['chainer'], own) for name, own in seconds.items()}
        timings[case] = {'seconds': seconds, 'times faster than chainer': faster}
        print(f'{case}: forward and backward')
        for name, own in seconds.items():
            print(f'{name:>22}{1e3 * statistics.median(own):9.1f} ms{faster[name]["median"]:8.2f}'
                  f' times   {faster[name]["min"]:.2f} to {faster[name]["max"]:.2f}', flush=True)
    errors = _errors()
    print('largest error of an output or a gradient of a layer, relative to the largest number: '
          + ', '.join(f'{name} {error:.1e}' for name, error in errors.items()))
    save(args.out, f'python -m experiments.speed.convolution --batchsize {args.batchsize} '
                   f'--repeat {args.repeat}', {'timings': timings, 'error': errors})


if __name__ == '__main__':
    with ending_together('experiments.speed.convolution'):
        main()
