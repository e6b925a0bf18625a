"""Why does super_gradients train worse? Its differences from chainercv, one at a time, three seeds.

    python -m experiments.formulations.causes                 15 runs, one after another
    python -m experiments.formulations.causes --parallel 2    two at a time, with the same results

super_gradients differs from chainercv by its matching rule, by counting some positives twice, and
by dividing the loss of an image by the positives of the image. Other formulations have one of these
differences each, with the rule of ``--match``. The network and the data are those of train.py
beside this file. The augmentation is that of the paper, with which the difference is large.
"""
from experiments import trainings

VARIANTS = (
    ('chainercv', 'bipartite'),
    ('chainercv', 'forced_above'),  # the matching rule
    ('torchvision', 'bipartite'),  # some positives count twice
    ('nvidia', 'bipartite'),  # divided by the positives of the image
    ('super_gradients', 'forced_above'),  # all three
)
AXES = {'loss': {f'{loss} --match {rule}': ['--loss', loss, '--match', rule]
                 for loss, rule in VARIANTS}}
COMMON = ['--augmentation', 'full', '--iteration', '540', '--eval-interval', '540']

if __name__ == '__main__':
    trainings.main(__doc__, AXES, 'result/causes', common=COMMON)
