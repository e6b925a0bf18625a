"""The programs train.py, evaluate.py and detect.py, where the console scripts find them.

A wheel holds copies of them beside this file. In a checkout they lie at the top.
"""
import pathlib

__path__.append(str(pathlib.Path(__file__).parents[2]))
