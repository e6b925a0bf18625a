"""What each part of the recipe is worth: one setting changed at a time, three seeds each.

    python -m experiments.ablations.train                    39 runs, slim network, built-in set
    python -m experiments.ablations.train --parallel 2       two at a time, with the same results
    python -m experiments.ablations.train --only k match     some of the axes
    python -m experiments.ablations.train --out result/bccd-ablations -- --data bccd \
--model slim300 --iteration 4000

The last changes all runs: what stands behind ``--`` goes to train.py. Runs of one seed begin with
the same weights and see the same images in the same order. Runs that are there already are kept,
broken off ones are continued; give other flags another --out.
"""
from experiments import trainings
from multibox.data import AUGMENTATIONS
from multibox.matching import RULES


def axis(flag, values, default):
    """{value: its flags}, none for the default of train.py."""
    return {value: [] if value == default else [f'--{flag}', value] for value in values}


AXES = {
    # 8732 negatives for each positive are all there are
    'k': {**axis('k', ['0.5', '1', '3', '6'], '3'), 'all': ['--k', '8732']},
    'alpha': axis('alpha', ['0.25', '0.5', '1', '2', '4'], '1'),
    'augmentation': axis('augmentation', AUGMENTATIONS, 'full'),
    'match': axis('match', RULES, 'bipartite'),
}

if __name__ == '__main__':
    trainings.main(__doc__, AXES, 'result/ablations')
