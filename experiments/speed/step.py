"""Where does the time of a training step go, engine by engine?

    python -m experiments.speed.step                                  the slim network's recipe
    python -m experiments.speed.step --model ssd300 --batchsize 4

Training on the built-in set with one loader process, as train.py does on a CPU. A loader that keeps
up is never waited for.
"""
import argparse
import collections
import pathlib
import statistics
import time

from experiments.speed.convolution import engines
from experiments.speed.turns import save
from multibox import convolution, multibox_loss
from multibox.data import Loader, MakeTargets, TrainingSequence, drawn_set, load_voc
from multibox.detectors import MODELS, make_detector
from multibox.devices import available_cores, use_cores
from multibox.training import make_optimizer

import chainer
import matplotlib
import numpy as np

matplotlib.use('Agg')
from matplotlib import pyplot as plt

PARTS = {'Convolution2DFunction': 'convolution', 'Deconvolution2DFunction': 'its input gradient',
         'Convolution2DGradW': 'its weight gradient', 'MaxPoolingND': 'max pooling',
         'MaxPoolingNDGrad': 'max pooling', 'ReLU': 'ReLU', 'ReLUGrad2': 'ReLU',
         'BatchNormalization': 'batch normalisation',
         'BatchNormalizationGrad': 'batch normalisation'}


class Parts(chainer.FunctionHook):
    """Adds up the seconds of Chainer's functions; backward consists of functions too."""

    name = 'Parts'

    def __init__(self, seconds):
        self.seconds = seconds

    def forward_preprocess(self, function, in_data):
        self.begin = time.perf_counter()

    def forward_postprocess(self, function, in_data):
        part = PARTS.get(type(function).__name__)
        if part is not None:
            self.seconds[part] += time.perf_counter() - self.begin


def parse_args(argv=None):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--model', choices=sorted(MODELS), default='slim300')
    parser.add_argument('--batchsize', type=int, default=8, metavar='N')
    parser.add_argument('--repeat', type=int, default=5, metavar='N',
                        help='steps timed with each engine, by turns (5)')
    parser.add_argument('--out', type=pathlib.Path, metavar='DIR',
                        default=pathlib.Path('result/speed'), help='(result/speed)')
    return parser.parse_args(argv)


def timed_step(loader, model, optimizer):
    """Train on the next batch: {part: seconds}, in the order of the step."""
    seconds, begin = collections.Counter(), time.perf_counter()

    def mark(part, but=0.):
        nonlocal begin
        now = time.perf_counter()
        seconds[part] += now - begin - but
        begin = now

    batch = chainer.dataset.concat_examples(next(loader))
    mark('waiting for the loader')
    with Parts(seconds):
        mb_locs, mb_confs = model(batch[0])
        mark('other functions', but=sum(seconds.values()) - seconds['waiting for the loader'])
        loc_loss, conf_loss = multibox_loss(mb_locs, mb_confs, *batch[1:], 3)
        loss = loc_loss + conf_loss
        mark('loss, forward')
        model.cleargrads()
        before = sum(seconds.values())
        loss.backward()
        mark('other functions', but=sum(seconds.values()) - before)
    optimizer.update()
    mark('optimizer')
    return seconds


def measure(args):
    """Yield (engine, [parts of each step])."""
    data = load_voc(drawn_set())
    np.random.seed(0)
    model = make_detector(args.model, len(data.label_names))
    optimizer = make_optimizer('momentum_sgd', model, 1e-4, 5e-4, 0.9, 2)
    names = engines()
    n_step = len(names) * (args.repeat + 1)
    targets = MakeTargets(model.coder, model.insize, model.mean)
    sequence = TrainingSequence(
        data.train.as_decoded(), targets, 0, n_step * args.batchsize)
    loader = Loader(sequence, args.batchsize, n_processes=1, example_bytes=targets.nbytes)
    steps = {name: [] for name in names}
    try:
        for turn in range(-1, args.repeat):
            for name in names:
                convolution.install(name)
                parts = timed_step(loader, model, optimizer)
                if turn >= 0:
                    steps[name].append(parts)
    finally:
        loader.finalize()
    return {name: {part: statistics.median(step[part] for step in own) for part in own[0]}
            for name, own in steps.items()}


def plot(path, parts, title):
    fig, ax = plt.subplots(figsize=(8, 0.7 * len(parts) + 1.6), layout='constrained')
    left, names = np.zeros(len(parts)), list(parts)
    for n, part in enumerate(dict.fromkeys(part for own in parts.values() for part in own)):
        width = [1e3 * parts[name].get(part, 0) for name in names]
        ax.barh(names, width, left=left, label=part, color=plt.get_cmap('tab10')(n))
        left += width
    ax.invert_yaxis()
    ax.set(xlabel='milliseconds a step (medians)', title=title)
    ax.legend(ncols=2, fontsize='small')
    fig.savefig(path, dpi=120)


def main(argv=None):
    args = parse_args(argv)
    convolution.keep_freed_memory()
    use_cores(available_cores() - 1)
    parts = measure(args)
    for name, own in parts.items():
        print(f'{name}: {1e3 * sum(own.values()):.0f} ms a step; '
              + ', '.join(f'{part} {1e3 * value:.1f}' for part, value in own.items()))
    name = f'step-{args.model}'
    save(args.out / f'{name}.json', f'python -m experiments.speed.step --model {args.model} '
         f'--batchsize {args.batchsize} --repeat {args.repeat}', parts)
    plot(args.out / f'{name}.png', parts, f'{args.model}, {args.batchsize} images a step')


if __name__ == '__main__':
    main()
