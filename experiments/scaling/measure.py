"""Training speed on 1, 2, ... processes of this machine, and what the exchange of gradients takes.

    python -m experiments.scaling.measure                                         slim300 on CPUs
    python -m experiments.scaling.measure --model ssd300 --processes 1 2 4 8 --device 0

On GPUs it measures ChainerMN's double buffering as well, which hides the exchange behind the next
step and which train.py does not use, because its gradients are a step old. A process has one BLAS
thread, alone as among others.
"""
import argparse
import json
import pathlib
import shutil
import statistics
import subprocess
import sys

from multibox.devices import available_cores
from multibox.files import write_json
from multibox.training import versions

RESULT = pathlib.Path('result/scaling/measured.json')


def run(n, flags):
    """One measurement, as ``experiments.scaling.step`` prints it."""
    mpiexec = shutil.which('mpiexec', path=pathlib.Path(sys.executable).parent) or 'mpiexec'
    command = [mpiexec, '--oversubscribe', '--bind-to', 'none', '-n', str(n), sys.executable, '-m',
               'experiments.scaling.step', *flags]
    result = subprocess.run(command, capture_output=True, text=True)
    if result.returncode:
        sys.exit(f'{n} processes: {result.stderr.strip()[:2000]}')
    return json.loads(result.stdout.splitlines()[-1])


def summary(runs):
    """Median of each number over runs of one kind, with the range of the speed."""
    numbers = {name: statistics.median(run[name] for run in runs) for name in runs[0]}
    speeds = [run['images_per_second'] for run in runs]
    return {**numbers, 'images_per_second_range': [min(speeds), max(speeds)]}


def overlap(plain, double_buffering):
    """Share of the exchange that double buffering hides behind the computation of the next step."""
    computation = plain['step_seconds'] - plain['exchange_seconds']
    return 1 - (double_buffering['step_seconds'] - computation) / plain['exchange_seconds']


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--processes', type=int, nargs='+', default=[1, 2])
    parser.add_argument('--model', default='slim300')
    parser.add_argument('--batchsize', type=int, default=8, help='images of one process (8)')
    parser.add_argument('--iterations', type=int, default=10, help='steps of one measurement (10)')
    parser.add_argument('--repeat', type=int, default=3, help='measurements of each, by turns (3)')
    parser.add_argument('--device', default='-1')
    parser.add_argument('--out', type=pathlib.Path, default=RESULT, metavar='FILE',
                        help=f'({RESULT})')
    args = parser.parse_args()
    flags = [str(x) for name in ('model', 'batchsize', 'iterations', 'device')
             for x in (f'--{name}', getattr(args, name))]
    kinds = [(n, []) for n in args.processes]
    if args.device not in ('-1', '@numpy'):
        kinds += [(n, ['--double-buffering']) for n in args.processes if n > 1]
    runs = {i: [] for i in range(len(kinds))}
    for _ in range(args.repeat):
        for i, (n, extra) in enumerate(kinds):
            runs[i].append(run(n, flags + extra))
    results = [{**summary(runs[i]), 'double_buffering': bool(extra)}
               for i, (_, extra) in enumerate(kinds)]
    for row in results:
        if row['double_buffering']:
            plain = next(r for r in results if r['processes'] == row['processes'])
            row['overlap'] = overlap(plain, row)
    print('processes  images/s          a step   exchange        bytes')
    for row in results:
        low, high = row['images_per_second_range']
        exchange = (f'{row["overlap"]:.0%} hidden' if row['double_buffering']
                    else f'{row["exchange_seconds"]:.4f} s')
        print(f'{row["processes"]:9}  {row["images_per_second"]:6.1f} ({low:.1f}-{high:.1f})'
              f'  {row["step_seconds"]:.3f} s  {exchange:>9}  {row["exchange_bytes"]:11,}')
    args.out.parent.mkdir(parents=True, exist_ok=True)
    write_json(args.out, {
        'model': args.model, 'batchsize_of_a_process': args.batchsize, 'device': args.device,
        'iterations': args.iterations, 'repeat': args.repeat, 'cores': available_cores(),
        'results': results, 'versions': versions()})


if __name__ == '__main__':
    main()
