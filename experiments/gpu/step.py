"""Images per second and GPU memory of a training step, beside the same network in PyTorch.

    python -m experiments.gpu.step             all that fits into 25 minutes; the rest is listed
    python -m experiments.gpu.step --quick     SSD300 with 32 images, in 4 minutes

multibox, PyTorch, and PyTorch with torch.compile take turns at a step of SSD300 and SSD512 with 32,
64 and 128 images in each precision. Then 1, 2, 4, ... loader processes feed the step of multibox,
and are timed alone. Each contestant is a process of its own. The results are saved after each
setting, and a contestant that fails does not affect the others.
"""
import argparse
import itertools
import statistics
import sys
import time
from typing import Any

from experiments.timing.gpu_clock import gpu_name
from experiments.timing.rivals import Rival, command, compete
from experiments.timing.turns import make_parser, ratio, save
from experiments.timing.watch import Watch
from multibox.devices import available_cores, is_gpu
from multibox.engines import PRECISIONS
from multibox.errors import ending_together
from multibox.flags import check_numbers

MULTIBOX, TORCH = 'experiments.gpu.multibox_ssd', 'experiments.gpu.torch_ssd'
STEPS = {'ours': (MULTIBOX, {}), 'torch': (TORCH, {'compiled': False}),
         'torch.compile': (TORCH, {'compiled': True})}
TOGETHER = 12e6  # pixels of a batch for which three contestants fit into 141 GB of memory
LIMIT = 240  # seconds for the start and for each answer of a contestant; torch.compile takes long


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """The values of all flags."""
    parser = make_parser(__doc__, 'result/gpu/step.json', 5)
    parser.add_argument('--quick', action='store_true', help='measure the most important settings')
    parser.add_argument('--only', choices=('steps', 'fed'),
                        help='measure the steps beside PyTorch, or those that the loader feeds')
    parser.add_argument('--models', nargs='+', default=['ssd300', 'ssd512'], help='networks')
    parser.add_argument('--batchsizes', type=int, nargs='+', default=[32, 64, 128],
                        help='images of a batch')
    parser.add_argument('--precisions', nargs='+', choices=PRECISIONS, help='precisions (default: '
                        'all, with --quick bfloat16 and tf32)')
    parser.add_argument('--minutes', type=float, help='time after which no setting is begun '
                        '(default: 25, with --quick 3.5)')
    parser.add_argument('--seconds', type=float, default=1, help='approximate length of a turn')
    parser.add_argument('--device', default='0', help='-1 for the CPU, or the number of a GPU')
    parser.add_argument('--data', metavar='DIR',
                        help='photographs for the loader (default: the built-in set)')
    parser.add_argument('--torch-python', default=sys.executable, metavar='FILE',
                        help='the Python that has torch')
    args = parser.parse_args(argv)
    if args.quick:
        args.models, args.batchsizes, args.repeat = ['ssd300'], [32], 3
    if args.precisions is None:
        args.precisions = ['bfloat16', 'tf32', *['float16', 'float32'] * (not args.quick)]
    if args.minutes is None:
        args.minutes = 3.5 if args.quick else 25
    return args


def _plan(args):
    """The settings to measure, the most important first.

    A setting has ``workers`` if that number of loader processes feeds the step.
    """
    steps = [{'model': model, 'precision': precision, 'batchsize': batchsize}
             for batchsize, model, precision in itertools.product(
                 args.batchsizes, args.models, args.precisions)]
    n_core = available_cores()
    workers = [n for n in (1, 2, 4, 8, 16) if n < n_core - 1] + [max(1, n_core - 1)]
    feeding = [{**steps[0], 'workers': n} for n in (workers[-2:] if args.quick else workers)]
    first = len(args.precisions)
    return {'steps': steps, 'fed': feeding}.get(
        args.only, [*steps[:first], *feeding, *steps[first:]])


def _commands(setting, args):
    """The commands of the contestants of a setting, by name."""
    if 'workers' in setting:
        loading = {**setting, 'data': args.data}
        del loading['precision']
        return {'fed': command(MULTIBOX, 'fed', {**setting, 'data': args.data,
                                                 'device': args.device}),
                'loader': command(MULTIBOX, 'loader_alone', loading)}
    return {name: command(module, 'on_one_batch', {**setting, 'device': args.device, **options},
                          args.torch_python if module == TORCH else sys.executable)
            for name, (module, options) in STEPS.items()}


def measure(setting: dict[str, Any], args: argparse.Namespace, watch: Watch) -> dict[str, dict]:
    """Time all contestants of a setting in turns; one after the other if memory is too small.

    Args:
        setting: ``model``, ``precision``, ``batchsize``, and ``workers`` of the loader, if any.
        args: from :func:`parse_args`.
        watch: the load of the GPU.

    Returns:
        {contestant: results of :func:`experiments.timing.rivals.compete`, ``images_a_second``, and
        the speed-up ``times_torch``}.
    """
    starters = {name: lambda words=words: Rival(words, LIMIT)
                for name, words in _commands(setting, args).items()}
    pixels = setting['batchsize'] * int(setting['model'][-3:]) ** 2
    together = pixels <= TOGETHER and 'workers' not in setting
    groups = [starters] if together else [{name: start} for name, start in starters.items()]
    found = {}
    for group in groups:
        found.update(compete(group, args.repeat, args.seconds, watch))
    for result in found.values():
        if 'error' not in result:
            result['images_a_second'] = setting['batchsize'] / statistics.median(
                result['seconds_a_step'])
    if together and not any('error' in found[name] for name in ('ours', 'torch')):
        found['ours']['times_torch'] = ratio(
            found['torch']['seconds_a_step'], found['ours']['seconds_a_step'])
    return found


def _print_setting(setting, found):
    title = ', '.join(f'{key} {value}' for key, value in setting.items())
    for name, result in found.items():
        shown = 'multibox' if name == 'ours' else name
        if 'error' in result:
            print(f'{title}: {shown:14} failed: {result["error"].splitlines()[-1]}', flush=True)
            continue
        busy = [load['mean'] for load in result['load'] if load]
        print(f'{title}: {shown:14}{result["images_a_second"]:8.1f} images/s'
              f'{result["memory_bytes"] / 1e9:8.1f} GB'
              + (f'{statistics.mean(busy):6.0f} % busy' if busy else ''), flush=True)


def main(argv: list[str] | None = None) -> None:
    """Run the program."""
    args = parse_args(argv)
    check_numbers(args, ('repeat',), lowest=1)
    check_numbers(args, ('minutes', 'seconds'), lowest=0)
    if is_gpu(args.device):
        gpu_name()  # one line, not one per contestant
    words = sys.argv[1:] if argv is None else argv
    watch, end, results = Watch(), time.monotonic() + 60 * args.minutes, []
    left = _plan(args)
    try:
        while left and time.monotonic() < end:
            setting = left.pop(0)
            found = measure(setting, args, watch)
            results.append({**setting, 'contestants': found})
            save(args.out, ' '.join(['python -m experiments.gpu.step', *words]),
                 {'measured': results, 'left_out': left})
            _print_setting(setting, found)
    finally:
        watch.end()
    for setting in left:
        print('left out for lack of time:', *setting.values())


if __name__ == '__main__':
    with ending_together('experiments.gpu.step'):
        main()
