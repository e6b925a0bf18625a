"""Why does super_gradients train worse? Train with its differences from chainercv, three seeds.

    python -m experiments.formulations.causes                 24 runs, one after another
    python -m experiments.formulations.causes --parallel 2    two at a time, with the same results

The two formulations differ in three ways: super_gradients divides the loss of an image by the
positives of the image, counts some positives twice, and matches by another rule. The eight runs of
a seed are all combinations, which other formulations and ``--match`` give. They have the network
and the data of train.py beside this file, and the paper's augmentation.
"""
from experiments import trainings

RULES = 'bipartite', 'forced_above'  # of chainercv and of super_gradients
LOSSES = {  # divisor, positives that are mined for lack of negatives
    'chainercv': 'batch, once', 'torchvision': 'batch, twice',
    'nvidia': 'image, once', 'super_gradients': 'image, twice'}
AXES = {'loss': {f'{loss} --match {rule}': ['--loss', loss, '--match', rule]
                 for loss in LOSSES for rule in RULES}}
COMMON = ['--augmentation', 'full', '--iteration', '540', '--eval-interval', '540']

if __name__ == '__main__':
    trainings.main(__doc__, AXES, 'result/causes', common=COMMON)
