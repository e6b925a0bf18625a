"""Train lite300 by its default recipe on a folder of photographs, three seeds.

    python -m experiments.photographs.train --out result/raccoon -- --data raccoon

docs/data.md lists the layouts of folders that are read.
"""
from experiments import trainings

AXES = {'model': {'lite300': ['--model', 'lite300']}}

if __name__ == '__main__':
    trainings.main(__doc__, AXES, 'result/photographs')
