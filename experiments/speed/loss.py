"""How long does the loss take on this machine's CPU, forward and backward, beside others?

    python -m experiments.speed.loss

Ours and ChainerCV's; the PyTorch formulations, where torch and torchvision are installed
(torch_losses.py); and one copy of the logits, which no loss can be faster than that reads them and
writes their gradient. All get matched boxes, for the matching is no part of this, and as many
threads as their libraries take by themselves; ours takes one.
"""
import argparse
import importlib.util
import pathlib
import statistics
import tracemalloc

from experiments.speed import turns
from multibox import multibox_loss
from multibox.convolution import keep_freed_memory

import chainer
import chainercv.links.model.ssd
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

CASES = {  # B, K, C, share of positive boxes
    'B = 32, K = 8732, C = 21': (32, 8732, 21, .001),
    'half of the boxes positive': (32, 8732, 21, .5),
    'B = 1': (1, 8732, 21, .001),
    'B = 8': (8, 8732, 21, .001),
    'B = 128': (128, 8732, 21, .001),
    'K = 24564': (32, 24564, 21, .001),
    'C = 2': (32, 8732, 2, .001),
    'C = 81': (32, 8732, 81, .001),
}
CHAINER = {'ours': multibox_loss, 'chainercv': chainercv.links.model.ssd.multibox_loss}


def parse_args(argv=None):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--repeat', type=int, default=7, metavar='N',
                        help='times each contestant is timed on each case (7)')
    parser.add_argument('--out', type=pathlib.Path, metavar='FILE',
                        default=pathlib.Path('result/speed/loss.json'),
                        help='the figure goes beside it (result/speed/loss.json)')
    return parser.parse_args(argv)


def draw_case(B, K, C, p_positive, seed=0):
    """Predictions and matched boxes as float32 and int32 arrays; some box of each image matches."""
    rng = np.random.default_rng(seed)
    mb_locs, gt_mb_locs = rng.standard_normal((2, B, K, 4), np.float32)
    mb_confs = 2 * rng.standard_normal((B, K, C), np.float32)
    positive = rng.uniform(size=(B, K)) < p_positive
    positive[:, 0] = True
    return mb_locs, mb_confs, gt_mb_locs, np.where(
        positive, rng.integers(1, C, (B, K)), 0).astype(np.int32)


def chainer_step(loss, mb_locs, mb_confs, gt_mb_locs, gt_mb_labels):
    """Make a function that runs a loss of ChainerCV's signature forward and backward."""
    def step():
        predictions = chainer.Variable(mb_locs), chainer.Variable(mb_confs)
        sum(loss(*predictions, gt_mb_locs, gt_mb_labels, 3)).backward()
        return predictions  # with the gradients, as an optimizer needs them
    return step


def torch_losses():
    """The PyTorch formulations that can run here: a module's ``stepper``, and {name: loss}."""
    if importlib.util.find_spec('torch') is None:
        return None, {}
    from experiments.speed import torch_losses
    losses = dict(torch_losses.LOSSES)
    if importlib.util.find_spec('torchvision') is None:
        del losses['torchvision']
    return torch_losses.stepper, losses


def contestants(case):
    """{name: function without arguments} of a case's arrays."""
    steps = {name: chainer_step(loss, *case) for name, loss in CHAINER.items()}
    stepper, losses = torch_losses()
    steps.update((name, stepper(loss, *case)) for name, loss in losses.items())
    copy = np.empty_like(case[1])
    return {**steps, 'one copy': lambda: np.copyto(copy, case[1])}


def peak_memory(step, logits):
    """The most memory NumPy holds during a step beyond what it held before, in units of logits."""
    tracemalloc.start()
    step()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak / logits.nbytes


def measure(shape, repeat):
    """Time all contestants on a case; see the keys."""
    case = draw_case(*shape)
    steps = contestants(case)
    seconds = turns.take_turns(steps, repeat)
    millions = case[1].size / 1e6
    return {
        **dict(zip(('B', 'K', 'C', 'positives'), (*shape[:3], int((case[3] > 0).sum())))),
        'seconds': seconds,
        'ms_per_million_logits': {
            name: 1e3 * statistics.median(each) / millions for name, each in seconds.items()},
        'times_ours': {name: turns.ratio(each, seconds['ours'])
                       for name, each in seconds.items() if name != 'ours'},
        'peak_memory_in_logits': {name: peak_memory(steps[name], case[1]) for name in CHAINER},
    }


def report(name, result):
    print(f'{name}: peak memory of ours {result["peak_memory_in_logits"]["ours"]:.2f} times the '
          f'logits, of chainercv {result["peak_memory_in_logits"]["chainercv"]:.2f}')
    for contestant, each in result['seconds'].items():
        line = f'  {contestant:16}{1e3 * statistics.median(each):9.2f} ms'
        if contestant != 'ours':
            times = result['times_ours'][contestant]
            line += f'{times["median"]:8.2f} of ours   {times["min"]:.2f} to {times["max"]:.2f}'
        print(line, flush=True)


def draw(path, results):
    """Draw the time per logit of every contestant in every case."""
    figure = Figure(figsize=(8, 4.5), layout='constrained')
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    markers = dict(zip(next(iter(results.values()))['seconds'], 'osD^v<|'))
    for contestant, marker in markers.items():
        times = [result['ms_per_million_logits'][contestant] for result in results.values()]
        axes.plot(times, range(len(times)), marker, label=contestant, markersize=8,
                  markeredgewidth=2 if marker == '|' else 0, alpha=.8)
    axes.set_xscale('log')
    axes.set_xlabel('forward and backward, ms per million logits')
    axes.set_yticks(range(len(results)), results)
    axes.invert_yaxis()
    axes.grid(axis='both', which='both', alpha=.2)
    axes.legend(loc='center left', bbox_to_anchor=(1, .5), frameon=False)
    figure.savefig(path, dpi=150)


def main(argv=None):
    args = parse_args(argv)
    keep_freed_memory()  # as train.py does; all gain
    names = torch_losses()[1]
    if 'torchvision' not in names:
        print('not installed, so left out:', 'torchvision' if names else 'torch')
    results = {}
    for name, shape in CASES.items():
        results[name] = measure(shape, args.repeat)
        report(name, results[name])
    turns.save(args.out, f'python -m experiments.speed.loss --repeat {args.repeat}', results)
    draw(args.out.with_suffix('.png'), results)


if __name__ == '__main__':
    main()
