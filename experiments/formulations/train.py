"""Train the slim network on the built-in set under every published loss, three seeds each.

    python -m experiments.formulations.train                 18 runs, one after another
    python -m experiments.formulations.train --parallel 2    two at a time, with the same results

Runs of one seed begin with the same weights and see the same images in the same order, augmented
alike. Runs that are there already are kept, broken off ones are continued.
"""
import argparse
import concurrent.futures
import pathlib
import shutil
import subprocess
import sys

from experiments.formulations.summary import summarise
from multibox.losses import LOSSES

ROOT = pathlib.Path(__file__).parents[2]


def parse_args():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--seeds', type=int, nargs='+', default=[0, 1, 2])
    parser.add_argument('--parallel', type=int, default=1, help='runs at a time (1)')
    parser.add_argument('--out', type=pathlib.Path, default=pathlib.Path('result/formulations'),
                        metavar='DIR', help='where the runs are written (result/formulations)')
    return parser.parse_args()


def train(loss, seed, out):
    """One run of train.py, whose metrics.json is copied to the others; how it ended."""
    target = out / 'runs' / f'{loss}-seed{seed}.json'
    if target.exists():
        return f'{target.name}: there already'
    folder = out / f'{loss}-seed{seed}'
    folder.mkdir(parents=True, exist_ok=True)
    resume = ['--resume'] if list(folder.glob('snapshot_iter_*')) else []
    command = [sys.executable, ROOT / 'train.py', '--loss', loss, '--seed', str(seed),
               '--loader-processes', '0', '--out', folder, *resume]
    with open(folder / 'output.txt', 'a', encoding='utf-8') as output:
        if subprocess.run(command, stdout=output, stderr=subprocess.STDOUT).returncode:
            raise RuntimeError(f'{target.name}: failed, see {folder / "output.txt"}')
    shutil.copy(folder / 'metrics.json', target)
    return f'{target.name}: done'


def main():
    args = parse_args()
    (args.out / 'runs').mkdir(parents=True, exist_ok=True)
    with concurrent.futures.ThreadPoolExecutor(args.parallel) as executor:
        runs = [executor.submit(train, loss, seed, args.out)
                for seed in args.seeds for loss in sorted(LOSSES)]
        for run in concurrent.futures.as_completed(runs):
            print(run.exception() or run.result(), flush=True)
    summarise(args.out / 'runs')
    if any(run.exception() for run in runs):
        sys.exit('not all runs are there; the same command goes on with the others')


if __name__ == '__main__':
    main()
