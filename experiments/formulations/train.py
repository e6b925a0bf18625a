"""Train the slim network on the built-in set with every published loss, three seeds each.

    python -m experiments.formulations.train                 45 runs, one after another
    python -m experiments.formulations.train --parallel 2    two at a time, with the same results

Runs of one seed begin with the same weights and see the same images in the same order, with the
same augmentation. Finished runs are kept, and interrupted runs are resumed.
"""
from experiments import trainings
from multibox.losses import LOSSES

AXES = {'loss': {name: ['--loss', name] for name in sorted(LOSSES)}}
COMMON = ['--eval-interval', '480']  # the default recipe of slim300, with one evaluation at its end

if __name__ == '__main__':
    trainings.main(__doc__, AXES, 'result/formulations', common=COMMON)
