"""Many runs of train.py that differ in one setting each, and the table of their scores.

An axis is a setting with its variants, {variant: flags of train.py}. The variant without flags is
the baseline. All axes share the runs of the baseline.
"""
import argparse
import concurrent.futures
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from experiments.children import call, ending_first
from experiments.comparison import run_name, summarise
from multibox.devices import available_cores
from multibox.errors import ending_together
from multibox.files import make_out
from multibox.flags import check_numbers, make_parser
from multibox.training.folders import FILES
from multibox.training.snapshots import find_snapshots

ROOT = Path(__file__).parents[1]


def main(description: str, axes: dict, out: str, argv: Sequence[str] | None = None,
         common: Sequence[str] = ()) -> None:
    """Train every variant with every seed, then print the tables and draw the figure.

    Finished runs are kept, and interrupted runs are resumed. After the failure of a run the other
    runs go on. SIGTERM and SIGINT let the current runs save a snapshot.

    Args:
        description: text for ``--help``.
        axes: {axis: {variant: list of flags of train.py}}.
        out: default of ``--out``.
        argv: the arguments; None means the command line.
        common: flags of all runs, which those of a variant override.
    """
    with ending_together('experiments'), ending_first():
        args = parse_args(description, axes, out, sys.argv[1:] if argv is None else argv)
        train_all(args, {axis: axes[axis] for axis in args.only}, common)


def parse_args(description: str, axes: dict, out: str, argv: Sequence[str]) -> argparse.Namespace:
    """Parse the arguments; ``flags`` holds the arguments after ``--``, for all runs of train.py."""
    parser = make_parser(description)
    parser.add_argument('--only', nargs='+', choices=axes, default=[*axes], metavar='AXIS',
                        help=f'axes to train, of {", ".join(axes)} (default: all)')
    parser.add_argument('--seeds', type=int, nargs='+', default=[0, 1, 2], metavar='N',
                        help='seeds of each variant (default: 0 1 2)')
    parser.add_argument('--parallel', type=int, default=1, metavar='N',
                        help='runs at the same time')
    parser.add_argument('--out', type=Path, default=Path(out), metavar='DIR',
                        help='folder of the runs')
    stop = argv.index('--') if '--' in argv else len(argv)
    args = parser.parse_args(argv[:stop])
    args.flags = argv[stop + 1:]
    return args


def train_all(args: argparse.Namespace, axes: dict, common: Sequence[str] = ()) -> None:
    """Do the work of :func:`main`.

    Args:
        args: from :func:`parse_args`.
        axes: {axis: {variant: list of flags}}.
        common: as for :func:`main`.

    Raises:
        UserError: ``--parallel`` is below 1, or the folder or the figure cannot be written.
        SystemExit: a run failed.
    """
    check_numbers(args, ('parallel',), lowest=1)
    make_out(args.out / 'runs')
    variants = {run_name(flags, ''): flags for axis in axes.values() for flags in axis.values()}
    # Without a limit, the threads of several runs would spin on the same cores.
    n_thread = max(1, available_cores() // args.parallel) if args.parallel > 1 else None
    with concurrent.futures.ThreadPoolExecutor(args.parallel) as executor:
        runs = [executor.submit(train, flags, seed, args.flags, args.out, n_thread, common)
                for seed in dict.fromkeys(args.seeds) for flags in variants.values()]
        try:
            for run in concurrent.futures.as_completed(runs):
                print(run.exception() or run.result(), flush=True)
        except SystemExit:  # from a signal, which the current runs got from ending_first
            executor.shutdown(wait=False, cancel_futures=True)
            raise
    summarise(args.out, axes)
    if any(run.exception() for run in runs):
        sys.exit('not all runs are there; the same command goes on with the others')


def train(flags: Sequence[str], seed: int, more: Sequence[str], out: Path,
          n_thread: int | None, common: Sequence[str] = ()) -> str:
    """Run train.py once, and copy the metrics.json of the run to ``out/runs``.

    Args:
        flags: flags of the variant.
        seed: seed of the run.
        more: flags of all runs.
        out: folder of all runs.
        n_thread: threads of the run; None means train.py's own choice.
        common: as for :func:`main`.

    Returns:
        A message: whether the run was made or was there before.

    Raises:
        RuntimeError: train.py failed.
    """
    name = run_name(flags, seed)
    target = out / 'runs' / f'{name}.json'
    if target.exists():
        return f'{name}: there already'
    folder = out / name
    folder.mkdir(parents=True, exist_ok=True)
    resume = ['--resume'] if find_snapshots(folder) else []
    for file in () if resume else FILES:  # of a run that was killed before its first snapshot
        (folder / file).unlink(missing_ok=True)
    command = [sys.executable, ROOT / 'train.py', *common, *flags, '--seed', str(seed),
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
