"""Train the slim network on the built-in set under every published loss, three seeds each.

    python -m experiments.formulations.train                 18 runs, one after another
    python -m experiments.formulations.train --parallel 2    two at a time, with the same results

Runs of one seed begin with the same weights and see the same images in the same order, augmented
alike. Runs that are there already are kept, broken off ones are continued.
"""
from experiments import trainings
from multibox.losses import LOSSES

AXES = {'loss': {name: ['--loss', name] for name in sorted(LOSSES)}}

if __name__ == '__main__':
    trainings.main(__doc__, AXES, 'result/formulations')
