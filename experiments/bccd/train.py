"""Train the slim network on the photographs of BCCD for longer, three seeds.

    python -m experiments.bccd.train -- --data bccd          the folder of the photographs
"""
from experiments import trainings

AXES = {'iteration': {'4000': ['--iteration', '4000', '--model', 'slim300']}}

if __name__ == '__main__':
    trainings.main(__doc__, AXES, 'result/bccd')
