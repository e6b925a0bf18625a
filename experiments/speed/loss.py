"""How long does the loss take on this machine's CPU, forward and backward, beside other losses?

    python -m experiments.speed.loss

The losses of multibox and of ChainerCV take part, the PyTorch losses of torch_losses.py where torch
is installed, and that of torchvision where torchvision is, too. One copy of the logits is a bound,
because every loss reads the logits and writes their gradient. The boxes are matched beforehand.
All libraries use their default numbers of threads.
"""
import importlib.util
import statistics
import tracemalloc
from collections.abc import Callable

from experiments.timing.arrays import random_case
from experiments.timing.steps import chainer_step
from experiments.timing.turns import make_parser, ratio, save, take_turns
from multibox import multibox_loss
from multibox.devices import select_device
from multibox.engines import set_up
from multibox.errors import ending_together
from multibox.files import open_whole
from multibox.flags import check_numbers

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


def torch_losses() -> tuple[Callable | None, dict[str, Callable]]:
    """The function ``torch_losses.stepper``, and the PyTorch losses that this machine can run."""
    if importlib.util.find_spec('torch') is None:
        return None, {}
    from experiments.speed import torch_losses
    losses = dict(torch_losses.LOSSES)
    if importlib.util.find_spec('torchvision') is None:
        del losses['torchvision']
    return torch_losses.stepper, losses


def _contestants(case):
    steps = {name: chainer_step(loss, *case) for name, loss in CHAINER.items()}
    stepper, losses = torch_losses()
    steps.update((name, stepper(loss, *case)) for name, loss in losses.items())
    copy = np.empty_like(case[1])
    return {**steps, 'one copy': lambda: np.copyto(copy, case[1])}


def _peak_memory(step, logits):
    """The largest memory that NumPy takes during a step, in multiples of the logits."""
    tracemalloc.start()
    step()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak / logits.nbytes


def _measure(shape, repeat):
    """Time all losses on one of :data:`CASES`; ``times_ours`` are relative to multibox."""
    case = random_case(*shape)
    steps = _contestants(case)
    seconds = take_turns(steps, repeat)
    millions = case[1].size / 1e6
    return {
        **dict(zip(('B', 'K', 'C', 'positives'), (*shape[:3], int((case[3] > 0).sum())))),
        'seconds': seconds,
        'ms_per_million_logits': {
            name: 1e3 * statistics.median(each) / millions for name, each in seconds.items()},
        'times_ours': {name: ratio(each, seconds['ours'])
                       for name, each in seconds.items() if name != 'ours'},
        'peak_memory_in_logits': {name: _peak_memory(steps[name], case[1]) for name in CHAINER},
    }


def _print_case(name, result):
    memory = result['peak_memory_in_logits']
    print(f'{name}: peak memory of multibox {memory["ours"]:.2f} times the logits, of chainercv '
          f'{memory["chainercv"]:.2f}')
    for contestant, each in result['seconds'].items():
        shown = 'multibox' if contestant == 'ours' else contestant
        line = f'  {shown:16}{1e3 * statistics.median(each):9.2f} ms'
        if contestant != 'ours':
            times = result['times_ours'][contestant]
            line += (f'{times["median"]:8.2f} times multibox   {times["min"]:.2f} to '
                     f'{times["max"]:.2f}')
        print(line, flush=True)


def _plot(path, results):
    """Draw the time per logit of every contestant in every case."""
    figure = Figure(figsize=(8, 4.5), layout='constrained')
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    markers = dict(zip(next(iter(results.values()))['seconds'], 'osD^v<|'))
    for contestant, marker in markers.items():
        times = [result['ms_per_million_logits'][contestant] for result in results.values()]
        axes.plot(times, range(len(times)), marker, markersize=8, alpha=.8,
                  label='multibox' if contestant == 'ours' else contestant,
                  markeredgewidth=2 if marker == '|' else 0)
    axes.set_xscale('log')
    axes.set_xlabel('forward and backward, ms per million logits')
    axes.set_yticks(range(len(results)), results)
    axes.invert_yaxis()
    axes.grid(axis='both', which='both', alpha=.2)
    axes.legend(loc='center left', bbox_to_anchor=(1, .5), frameon=False)
    with open_whole(path) as file:
        figure.savefig(file, format='png', dpi=150)


def main(argv: list[str] | None = None) -> None:
    """Run the program; a picture goes beside the file of ``--out``."""
    args = make_parser(__doc__, 'result/speed/loss.json', 7).parse_args(argv)
    check_numbers(args, ('repeat',), lowest=1)
    set_up(select_device('-1'))
    names = torch_losses()[1]
    if 'torchvision' not in names:
        print('not installed, so left out:', 'torchvision' if names else 'torch')
    results = {}
    for name, shape in CASES.items():
        results[name] = _measure(shape, args.repeat)
        _print_case(name, results[name])
    save(args.out, f'python -m experiments.speed.loss --repeat {args.repeat}', results)
    _plot(args.out.with_suffix('.png'), results)


if __name__ == '__main__':
    with ending_together('experiments.speed.loss'):
        main()
