"""A training step of lite300 beside the same network in PyTorch, on this machine's CPU.

    python -m experiments.speed.lite
    python -m experiments.speed.lite --batchsize 16

Both networks have the weights of EfficientNet-Lite0, frozen in the same blocks, and train by Adam
on one batch, which no loader has to make. PyTorch keeps channels innermost. It has the package
torch, which ``pip install torch`` installs.
"""
import argparse
import functools
import statistics

import train
from experiments.timing.arrays import random_batch
from experiments.timing.turns import make_parser, ratio, save, spread, take_turns
from multibox.devices import available_cores, select_device
from multibox.engines import set_up
from multibox.errors import UserError, ending_together
from multibox.flags import check_numbers
from multibox.networks import make_detector
from multibox.training import TrainChain, make_optimizer
from multibox.weights.start import start

import chainer
import numpy as np

N_CLASS = 21


def make_step(batch: tuple) -> tuple:
    """Make a training step of lite300 as train.py computes it.

    Args:
        batch: ``(imgs, gt_mb_locs, gt_mb_labels)``.

    Returns:
        ``(step, model)``: a function without arguments that makes an update, and the network.
    """
    np.random.seed(0)
    model = make_detector('lite300', N_CLASS - 1)
    start(model, 'lite300', ('',) * (N_CLASS - 1), 'imagenet')
    chain = TrainChain(model)
    optimizer = make_optimizer('adam', chain, 1e-4, train.LITE['weight_decay'])
    model.freeze(train.LITE['frozen'])
    return functools.partial(optimizer.update, chain, *batch), model


def main(argv: list[str] | None = None) -> None:
    """Run the program."""
    parser = make_parser(__doc__, 'result/speed/lite.json', 15)
    parser.add_argument('--batchsize', type=int, default=train.LITE['batchsize'], metavar='N',
                        help='images of a batch')
    args = parser.parse_args(argv)
    check_numbers(args, ('repeat', 'batchsize'), lowest=1)
    results = measure(args)
    print(', '.join(f'{name} {value["median"] / 1000:.0f} ms'
                    for name, value in results['microseconds'].items()))
    print('torch over multibox: {median:.2f} ({min:.2f} to {max:.2f})'.format(**results['speedup']))
    save(args.out, f'python -m experiments.speed.lite --batchsize {args.batchsize} '
         f'--repeat {args.repeat}', results)


def measure(args: argparse.Namespace) -> dict:
    """Time both steps in turns.

    Raises:
        UserError: torch is missing.
    """
    try:
        from experiments.speed import torch_lite

        import torch
    except ImportError as error:
        raise UserError(f'lite: PyTorch is missing ({error}); pip install torch') from None
    set_up(select_device('-1'))
    torch.set_num_threads(available_cores())
    imgs, *targets = random_batch(args.batchsize, 300, 8732)
    step, model = make_step((imgs, *targets))
    seconds = take_turns({'multibox': step, 'torch': torch_lite.make_step(
        model.extractor.trunk, N_CLASS, (imgs, *targets))}, args.repeat, warm_up=3)
    return {'microseconds': {name: spread(own) for name, own in seconds.items()},
            'speedup': ratio(seconds['torch'], seconds['multibox']),
            'images_per_second': args.batchsize / statistics.median(seconds['multibox']),
            'threads': available_cores(), 'torch': torch.__version__,
            'chainer': chainer.__version__}


if __name__ == '__main__':
    with ending_together('experiments.speed.lite'):
        main()
