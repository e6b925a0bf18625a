"""Measure the worth of each part of the recipe: one setting changed at a time, three seeds each.

    python -m experiments.ablations.train                    39 runs, slim network, built-in set
    python -m experiments.ablations.train --parallel 2       two at a time, with the same results
    python -m experiments.ablations.train --only k match     some of the axes
    python -m experiments.ablations.train --out result/bccd-ablations -- --data bccd \\
        --model slim300 --iteration 4000

Arguments after ``--`` go to every run of train.py; give such runs another --out. Runs of one seed
begin with the same weights and see the same images in the same order, with the augmentation
``full`` of the paper unless an axis changes it. Finished runs are kept, and interrupted runs are
resumed.
"""
from collections.abc import Iterable

from experiments import trainings


def axis(flag: str, values: Iterable[str], default: str) -> dict[str, list[str]]:
    """The flags of train.py per value; the default value has no flag."""
    return {value: [] if value == default else [f'--{flag}', value] for value in values}


AXES = {
    # SSD300 has 8732 boxes, so this ratio takes all negatives
    'k': {**axis('k', ['0.5', '1', '3', '6'], '3'), 'all': ['--k', '8732']},
    'alpha': axis('alpha', ['0.25', '0.5', '1', '2', '4'], '1'),
    'augmentation': axis('augmentation', ['full', 'no-expansion', 'flip'], 'full'),
    'match': axis('match', ['bipartite', 'forced', 'forced_above'], 'bipartite'),
}
COMMON = ['--augmentation', 'full', '--iteration', '540']  # the paper's augmentation

if __name__ == '__main__':
    trainings.main(__doc__, AXES, 'result/ablations', common=COMMON)
