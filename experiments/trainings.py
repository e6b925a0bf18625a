"""Many runs of train.py that differ in one setting each: axes of variants, several seeds.

An axis is {name of the variant: its flags}. The variant without flags is the baseline: all axes
that have one share its runs.
"""
import argparse
import concurrent.futures
import os
import pathlib
import shutil
import subprocess
import sys

from experiments.children import call, ending_first
from experiments.comparison import run_name, summarise
from multibox.devices import available_cores
from multibox.errors import UserError
from multibox.files import make_out
from multibox.training import ending_together

ROOT = pathlib.Path(__file__).parents[1]


def parse_args(description, axes, out, argv):
    """What the user wants; flags behind ``--`` go to every run of train.py."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--only', nargs='+', choices=axes, default=[*axes], metavar='AXIS',
                        help=f'of {", ".join(axes)} (all)')
    parser.add_argument('--seeds', type=int, nargs='+', default=[0, 1, 2])
    parser.add_argument('--parallel', type=int, default=1, help='runs at a time (1)')
    parser.add_argument('--out', type=pathlib.Path, default=pathlib.Path(out), metavar='DIR',
                        help=f'where the runs are written ({out})')
    stop = argv.index('--') if '--' in argv else len(argv)
    args = parser.parse_args(argv[:stop])
    args.flags = argv[stop + 1:]
    return args


def train(flags, seed, more, out, n_thread):
    """One run of train.py, whose metrics.json is copied to the others; how it ended."""
    name = run_name(flags, seed)
    target = out / 'runs' / f'{name}.json'
    if target.exists():
        return f'{name}: there already'
    folder = out / name
    folder.mkdir(parents=True, exist_ok=True)
    resume = ['--resume'] if list(folder.glob('snapshot_iter_*')) else []
    command = [sys.executable, ROOT / 'train.py', *flags, '--seed', str(seed),
               '--loader-processes', '0', *more, '--out', folder, *resume]
    environment = dict(os.environ)
    if n_thread:
        environment.update(dict.fromkeys(('OPENBLAS_NUM_THREADS', 'OMP_NUM_THREADS'),
                                         str(n_thread)))
    with open(folder / 'output.txt', 'a', encoding='utf-8') as output:
        if call(command, stdout=output, stderr=subprocess.STDOUT, env=environment):
            raise RuntimeError(f'{name}: failed, see {folder / "output.txt"}')
    shutil.copy(folder / 'metrics.json', target)
    return f'{name}: done'


def main(description, axes, out, argv=None):
    """Train every variant with every seed, then print the tables and draw the figure.

    Runs that are there already are kept, broken off ones are continued, and after a failure the
    others go on. SIGTERM and SIGINT let those that run save.

    Args:
        description: for ``--help``.
        axes: {name of the axis: {name of the variant: list of flags of train.py}}.
        out: default of ``--out``.
        argv: list of str; the command line if None.
    """
    with ending_together('experiments'), ending_first():
        args = parse_args(description, axes, out, sys.argv[1:] if argv is None else argv)
        train_all(args, {axis: axes[axis] for axis in args.only})


def train_all(args, axes):
    """What :func:`main` does, once it is known what the user wants."""
    if args.parallel < 1:
        raise UserError(f'--parallel must be a number from 1, got {args.parallel}')
    make_out(args.out / 'runs')
    variants = {run_name(flags, ''): flags for axis in axes.values() for flags in axis.values()}
    # Spinning threads of several runs on the same cores cost more than they bring.
    n_thread = max(1, available_cores() // args.parallel) if args.parallel > 1 else None
    with concurrent.futures.ThreadPoolExecutor(args.parallel) as executor:
        runs = [executor.submit(train, flags, seed, args.flags, args.out, n_thread)
                for seed in dict.fromkeys(args.seeds) for flags in variants.values()]
        try:
            for run in concurrent.futures.as_completed(runs):
                print(run.exception() or run.result(), flush=True)
        except SystemExit:  # a signal: those that run are told already, the others never begin
            executor.shutdown(wait=False, cancel_futures=True)
            raise
    summarise(args.out, axes)
    if any(run.exception() for run in runs):
        sys.exit('not all runs are there; the same command goes on with the others')
