"""Training speed of 1, 2, ... processes on this machine, and the time to exchange gradients.

    python -m experiments.scaling.measure                                         slim300 on CPUs
    python -m experiments.scaling.measure --model ssd300 --processes 1 2 4 8 --device 0

On GPUs ChainerMN's double buffering is measured, too. It hides the exchange behind the next step,
and its gradients are one step old; train.py does not use it. Each process has as many cores as
train.py gives it.
"""
import json
import shutil
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

from experiments.timing.turns import make_parser, own_reading, take_turns
from multibox.devices import available_cores, is_gpu
from multibox.errors import UserError, ending_together
from multibox.files import make_out, write_json
from multibox.flags import check_numbers
from multibox.networks import MODELS
from multibox.report.metrics import versions


def _run(n, flags):
    """The numbers that :mod:`experiments.scaling.step` prints with ``n`` processes."""
    mpiexec = shutil.which('mpiexec', path=Path(sys.executable).parent) or shutil.which('mpiexec')
    if mpiexec is None:
        raise UserError('mpiexec is missing; run make setup, or install an MPI')
    command = [mpiexec, '--oversubscribe', '--bind-to', 'none', '-n', str(n), sys.executable, '-m',
               'experiments.scaling.step', *flags]
    result = subprocess.run(command, capture_output=True, text=True)
    if result.returncode:
        raise UserError(f'{n} processes: {result.stderr.strip()[:2000]}')
    return json.loads(result.stdout.splitlines()[-1])


def summary(runs: list[dict[str, float]]) -> dict[str, Any]:
    """The median of each number over measurements of one kind, and the range of the speed."""
    numbers = {name: statistics.median(run[name] for run in runs) for name in runs[0]}
    speeds = [run['images_per_second'] for run in runs]
    return {**numbers, 'images_per_second_range': [min(speeds), max(speeds)]}


def overlap(plain: dict[str, float], double_buffering: dict[str, float]) -> float:
    """The share of the exchange that double buffering hides behind the next step.

    Both arguments are from :func:`summary`, without double buffering and with it.
    """
    computation = plain['step_seconds'] - plain['exchange_seconds']
    return 1 - (double_buffering['step_seconds'] - computation) / plain['exchange_seconds']


def _measure(processes, flags, double_buffering, repeat):
    """Measure every number of processes in turns, and also with double buffering if asked for."""
    kinds = [(n, False) for n in processes]
    if double_buffering:
        kinds += [(n, True) for n in processes if n > 1]
    runs = take_turns({kind: lambda n=kind[0], extra=['--double-buffering'] * kind[1]: _run(
        n, [*flags, *extra]) for kind in kinds}, repeat, own_reading, warm_up=0)
    results = {kind: {**summary(runs[kind]), 'double_buffering': kind[1]} for kind in kinds}
    for (n, buffered), row in results.items():
        if buffered:
            row['overlap'] = overlap(results[n, False], row)
    return list(results.values())


def _print_table(results):
    print('processes  images/s           per step   exchange        bytes')
    for row in results:
        low, high = row['images_per_second_range']
        exchange = (f'{row["overlap"]:.0%} hidden' if row['double_buffering']
                    else f'{row["exchange_seconds"]:.4f} s')
        print(f'{row["processes"]:9}  {row["images_per_second"]:6.1f} ({low:.1f}-{high:.1f})'
              f'  {row["step_seconds"]:.3f} s  {exchange:>9}  {row["exchange_bytes"]:11,}')


def main(argv: list[str] | None = None) -> None:
    """Run the program."""
    parser = make_parser(__doc__, 'result/scaling/measured.json', 3)
    parser.add_argument('--processes', type=int, nargs='+', default=[1, 2], metavar='N',
                        help='numbers of processes')
    parser.add_argument('--model', choices=sorted(MODELS), default='slim300', help='the network')
    parser.add_argument('--batchsize', type=int, default=8, metavar='N',
                        help='images of one process')
    parser.add_argument('--iterations', type=int, default=10, metavar='N',
                        help='steps of one measurement')
    parser.add_argument('--device', default='-1', metavar='NAME', help='as of train.py')
    args = parser.parse_args(argv)
    check_numbers(args, ('repeat', 'batchsize', 'iterations'), lowest=1)
    flags = [str(x) for name in ('model', 'batchsize', 'iterations', 'device')
             for x in (f'--{name}', getattr(args, name))]
    results = _measure(args.processes, flags, is_gpu(args.device), args.repeat)
    _print_table(results)
    make_out(args.out.parent)
    write_json(args.out, {
        'model': args.model, 'batchsize_of_a_process': args.batchsize, 'device': args.device,
        'iterations': args.iterations, 'repeat': args.repeat, 'cores': available_cores(),
        'results': results, 'versions': versions()})


if __name__ == '__main__':
    with ending_together('experiments.scaling.measure'):
        main()
