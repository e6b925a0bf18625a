"""Images a second and GPU memory of a training step, beside the same network in PyTorch.

    python -m experiments.gpu.step             all of it, in 25 minutes; what is left out is listed
    python -m experiments.gpu.step --quick     SSD300 with 32 images, in 4 minutes

SSD300 and SSD512 with 32, 64 and 128 images in each precision: ours, PyTorch's eagerly and
PyTorch's compiled take turns. Then the step is fed by 1, 2, 4, .. loader processes, which are
timed alone as well. Each contestant is a process of its own; what one has done is saved at once,
whatever becomes of the others.
"""
import argparse
import itertools
import pathlib
import statistics
import sys
import time

from experiments.gpu.rivals import compete, starter
from experiments.gpu.watch import Watch
from experiments.speed.turns import ratio, save
from multibox.convolution import PRECISIONS
from multibox.devices import available_cores

KINDS = 'ours', 'torch', 'torch.compile'
TOGETHER = 12e6  # pixels of a batch of which three contestants fit into 141 GB of memory
LIMIT = 240  # seconds for one to start or to answer: torch.compile takes longest


def parse_args(argv=None):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--quick', action='store_true', help='the few that matter most')
    parser.add_argument('--models', nargs='+', default=['ssd300', 'ssd512'])
    parser.add_argument('--batchsizes', type=int, nargs='+', default=[32, 64, 128])
    parser.add_argument('--precisions', nargs='+', choices=PRECISIONS,
                        default=['bfloat16', 'tf32', 'float16', 'float32'])
    parser.add_argument('--minutes', type=float, help='no more is begun after (25; quick: 3.5)')
    parser.add_argument('--repeat', type=int, default=5, help='turns of each (5)')
    parser.add_argument('--seconds', type=float, default=1, help='of a turn, about (1)')
    parser.add_argument('--device', default='0', help='as of train.py (0)')
    parser.add_argument('--data', metavar='DIR',
                        help='photographs for the loader (default: the built-in set)')
    parser.add_argument('--torch-python', default=sys.executable, metavar='FILE',
                        help='the Python that has torch (this one)')
    parser.add_argument('--out', type=pathlib.Path, default=pathlib.Path('result/gpu/step.json'),
                        metavar='FILE', help='(%(default)s)')
    args = parser.parse_args(argv)
    if args.quick:
        args.models, args.batchsizes = ['ssd300'], [32]
        args.precisions, args.repeat = ['bfloat16', 'tf32'], 3
    if args.minutes is None:
        args.minutes = 3.5 if args.quick else 25
    return args


def plan(args):
    """The settings to be measured, the most telling first: steps, then what feeds one of them.

    Yields:
        dicts: ``model``, ``precision``, ``batchsize``; with ``workers``, of the loader, where the
        step is fed.
    """
    steps = [{'model': model, 'precision': precision, 'batchsize': batchsize}
             for batchsize, model, precision in itertools.product(
                 args.batchsizes, args.models, args.precisions)]
    n_core = available_cores()
    workers = [n for n in (1, 2, 4, 8, 16) if n < n_core - 1] + [max(1, n_core - 1)]
    feeding = [{**steps[0], 'workers': n} for n in (workers[-2:] if args.quick else workers)]
    first = len(args.precisions)
    return [*steps[:first], *feeding, *steps[first:]]


def measure(setting, args, watch):
    """All contestants of one setting by turns; those that do not fit in memory one after another.

    Returns:
        {kind: what ``experiments.gpu.rivals.compete`` says of it}.
    """
    common = {'limit': LIMIT, 'torch_python': args.torch_python, **setting}
    if 'workers' in setting:
        common['data'] = args.data
        loader = {key: value for key, value in common.items() if key != 'precision'}
        rivals = {'fed': starter(kind='fed', device=args.device, **common),
                  'loader': starter(kind='loader', **loader)}
    else:
        rivals = {kind: starter(kind=kind, device=args.device, **common) for kind in KINDS}
    pixels = setting['batchsize'] * int(setting['model'][-3:]) ** 2
    together = pixels <= TOGETHER and 'workers' not in setting
    groups = [rivals] if together else [{name: start} for name, start in rivals.items()]
    found = {}
    for group in groups:
        found.update(compete(group, args.repeat, args.seconds, watch))
    for result in found.values():
        if 'error' not in result:
            result['images_a_second'] = setting['batchsize'] / statistics.median(
                result['seconds_a_step'])
    if together and not any('error' in found[kind] for kind in ('ours', 'torch')):
        found['ours']['times_torch'] = ratio(
            found['torch']['seconds_a_step'], found['ours']['seconds_a_step'])
    return found


def tell(setting, found):
    """One line a contestant."""
    name = ', '.join(f'{key} {value}' for key, value in setting.items())
    for kind, result in found.items():
        if 'error' in result:
            print(f'{name}: {kind:14} failed: {result["error"].splitlines()[-1]}', flush=True)
            continue
        busy = [load['mean'] for load in result['load'] if load]
        print(f'{name}: {kind:14}{result["images_a_second"]:8.1f} images/s'
              f'{result["memory_bytes"] / 1e9:8.1f} GB'
              + (f'{statistics.mean(busy):6.0f} % busy' if busy else ''), flush=True)


def main(argv=None):
    args = parse_args(argv)
    words = sys.argv[1:] if argv is None else argv
    command = ' '.join(['python -m experiments.gpu.step', *words])
    watch, end, results = Watch(), time.monotonic() + 60 * args.minutes, []
    left = plan(args)
    try:
        while left and time.monotonic() < end:
            setting = left.pop(0)
            found = measure(setting, args, watch)
            results.append({**setting, 'contestants': found})
            save(args.out, command, {'measured': results, 'left_out': left})
            tell(setting, found)
    finally:
        watch.end()
    for setting in left:
        print('left out for lack of time:', *setting.values())


if __name__ == '__main__':
    main()
