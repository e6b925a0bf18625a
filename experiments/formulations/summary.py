"""Mean and standard deviation of the runs under each loss, as a table and a figure.

    python -m experiments.formulations.summary
"""
import json
import pathlib
import statistics

FOLDER = pathlib.Path(__file__).parent / 'runs'


def summarise():
    pass


if __name__ == '__main__':
    summarise()
