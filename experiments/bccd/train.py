"""Train the slim network on the photographs of BCCD, 4000 iterations, three seeds.

    python -m experiments.bccd.train -- --data DIR

DIR is the folder of the photographs, with Annotations/, ImageSets/ and JPEGImages/.
"""
from experiments import trainings

AXES = {'iteration': {'4000': ['--iteration', '4000', '--model', 'slim300']}}
COMMON = ['--augmentation', 'full']  # the paper's

if __name__ == '__main__':
    trainings.main(__doc__, AXES, 'result/bccd', common=COMMON)
