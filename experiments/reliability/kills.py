"""Kill train.py at random moments, resume it each time, and compare its weights in the end.

    python -m experiments.reliability.kills                   30 kills
    python -m experiments.reliability.kills --number 3        a short try

The weights have to equal those of an undisturbed run to the bit. No process and no file in
/dev/shm may be left.
"""
from collections.abc import Sequence

from experiments.reliability import runs
from experiments.reliability.killing import kill
from multibox.errors import ending_together


def main(argv: Sequence[str] | None = None) -> None:
    """Run the program."""
    runs.main('kills', __doc__, {
        'number': (30, 'how often to kill'), 'iterations': (30, 'length of a run'),
        'seed': (0, 'seed of the moments')}, lambda folder, **given: kill(
            folder, choose=lambda rng, process: process.pid, **given), argv)


if __name__ == '__main__':
    with ending_together('experiments.reliability.kills'):
        main()
