"""Where does the time of a training step go, by convolution engine?

    python -m experiments.speed.step                                  the slim network
    python -m experiments.speed.step --model ssd300 --batchsize 4

The network trains on the built-in set with one loader process, as train.py does on a CPU. If the
loader keeps up, the step does not wait for it.
"""
import collections
import functools
import statistics
import time

from experiments.timing.steps import cpu_engines, with_engine
from experiments.timing.turns import make_parser, own_reading, save, take_turns
from multibox import multibox_loss
from multibox.data import Loader, MakeTargets, TrainingSequence, drawn_set, load_data
from multibox.devices import select_device
from multibox.engines import set_up
from multibox.errors import ending_together
from multibox.files import open_whole
from multibox.flags import check_numbers
from multibox.networks import MODELS, make_detector
from multibox.training import make_optimizer

import chainer
import matplotlib
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

# Classes of Chainer's functions, from which those of the engines derive.
PARTS = {'Convolution2DFunction': 'convolution', 'Deconvolution2DFunction': 'its input gradient',
         'Convolution2DGradW': 'its weight gradient', 'MaxPoolingND': 'max pooling',
         'MaxPoolingNDGrad': 'max pooling', 'ReLU': 'ReLU', 'ReLUGrad2': 'ReLU',
         'BatchNormalization': 'batch normalisation',
         'BatchNormalizationGrad': 'batch normalisation'}


class _Parts(chainer.FunctionHook):
    """Adds the seconds of Chainer's functions, of which a backward pass consists, too, by part."""

    name = 'Parts'

    def __init__(self, seconds):
        self.seconds = seconds

    def forward_preprocess(self, function, in_data):
        self.begin = time.perf_counter()

    def forward_postprocess(self, function, in_data):
        for base in type(function).__mro__:
            if base.__name__ in PARTS:
                self.seconds[PARTS[base.__name__]] += time.perf_counter() - self.begin


def _timed_step(loader, model, optimizer):
    """Train on the next batch; returns the seconds of each part in the order of the step."""
    seconds, begin = collections.Counter(), time.perf_counter()

    def mark(part, but=0.):
        nonlocal begin
        now = time.perf_counter()
        seconds[part] += now - begin - but
        begin = now

    batch = next(loader).arrays
    mark('waiting for the loader')
    with _Parts(seconds):
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


def _measure(model_name, batchsize, repeat):
    """Median seconds of each part of a step, by engine."""
    data = load_data(drawn_set())
    np.random.seed(0)
    model = make_detector(model_name, len(data.label_names))
    optimizer = make_optimizer('momentum_sgd', model, 1e-4, 5e-4)
    names = cpu_engines()
    n_step = len(names) * (repeat + 1)
    targets = MakeTargets(model.coder, model.insize, model.mean)
    sequence = TrainingSequence(data.train.as_decoded(), targets, 0, n_step * batchsize)
    loader = Loader(sequence, batchsize, n_processes=1, fields=targets.fields)
    step = functools.partial(_timed_step, loader, model, optimizer)
    try:
        steps = take_turns({name: with_engine(step, name) for name in names}, repeat, own_reading)
    finally:
        loader.finalize()
    return {name: {part: statistics.median(each[part] for each in own) for part in own[0]}
            for name, own in steps.items()}


def _plot(path, parts, title):
    """Draw a bar of the parts of a step per engine."""
    figure = Figure(figsize=(8, 0.7 * len(parts) + 1.6), layout='constrained')
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    left, names = np.zeros(len(parts)), list(parts)
    for n, part in enumerate(dict.fromkeys(part for own in parts.values() for part in own)):
        width = [1e3 * parts[name].get(part, 0) for name in names]
        axes.barh(names, width, left=left, label=part, color=matplotlib.colormaps['tab10'](n))
        left += width
    axes.invert_yaxis()
    axes.set(xlabel='milliseconds per step (medians)', title=title)
    axes.legend(ncols=2, fontsize='small')
    with open_whole(path) as file:
        figure.savefig(file, format='png', dpi=120)


def main(argv: list[str] | None = None) -> None:
    """Run the program."""
    parser = make_parser(__doc__, 'result/speed', 5)
    parser.add_argument('--model', choices=sorted(MODELS), default='slim300', help='the network')
    parser.add_argument('--batchsize', type=int, default=8, metavar='N', help='images of a batch')
    args = parser.parse_args(argv)
    check_numbers(args, ('repeat', 'batchsize'), lowest=1)
    set_up(select_device('-1'), spare_cores=1)  # one core for the loader
    parts = _measure(args.model, args.batchsize, args.repeat)
    for name, own in parts.items():
        print(f'{name}: {1e3 * sum(own.values()):.0f} ms per step; '
              + ', '.join(f'{part} {1e3 * value:.1f}' for part, value in own.items()))
    name = f'step-{args.model}'
    save(args.out / f'{name}.json', f'python -m experiments.speed.step --model {args.model} '
         f'--batchsize {args.batchsize} --repeat {args.repeat}', parts)
    _plot(args.out / f'{name}.png', parts, f'{args.model}, {args.batchsize} images per step')


if __name__ == '__main__':
    with ending_together('experiments.speed.step'):
        main()
