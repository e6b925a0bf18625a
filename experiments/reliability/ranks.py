"""Kill one of several MPI processes at random moments, resume, and compare the weights.

    python -m experiments.reliability.ranks                   10 kills of one of two processes
    python -m experiments.reliability.ranks --number 2        a short try

MPI has to end the other processes. The weights have to equal those of an undisturbed run to the
bit. No process and no file in /dev/shm may be left.
"""
import functools
from collections.abc import Sequence

from experiments.reliability import processes, runs
from experiments.reliability.killing import kill
from multibox.errors import ending_together

RANKS = 2


def choose(rng, process):
    """A random rank: a child of mpiexec; mpiexec itself until it has started them."""
    ranks = [pid for pid in processes.children(process.pid)
             if any(word.endswith('train.py') for word in processes.command(pid))]
    return rng.choice(ranks or [process.pid])


def main(argv: Sequence[str] | None = None) -> None:
    """Run the program."""
    runs.main('ranks', __doc__, {
        'number': (10, 'how often to kill'), 'iterations': (20, 'length of a run'),
        'seed': (0, 'seed of the moments')},
        functools.partial(kill, choose=choose, ranks=RANKS), argv)


if __name__ == '__main__':
    with ending_together('experiments.reliability.ranks'):
        main()
