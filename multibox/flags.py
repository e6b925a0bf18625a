"""Flags that several programs share, help texts that state defaults, and checks of numbers."""
import argparse
import math
from typing import Any

from multibox import engines
from multibox.errors import UserError
from multibox.processes import COMMUNICATORS


class _HelpFormatter(argparse.RawDescriptionHelpFormatter):
    """Keeps the line breaks of the description, and adds the default to the help of each flag."""

    def _get_help_string(self, action):
        if action.default in (None, argparse.SUPPRESS) or isinstance(action.default, bool):
            return action.help
        return f'{action.help} (default: %(default)s)'


def make_parser(description: str | None) -> argparse.ArgumentParser:
    """Make a parser whose help keeps the line breaks of the description and states defaults."""
    return argparse.ArgumentParser(description=description, formatter_class=_HelpFormatter)


def add_hardware_flags(parser: Any, many_processes: bool = True) -> None:
    """Add ``--device`` and ``--conv`` to a parser, and ``--communicator`` for many processes.

    Args:
        parser: a parser, or a group of its arguments.
        many_processes: whether the program runs under mpiexec.
    """
    per_process = '; under mpiexec, any GPU number stands for one GPU per process' * many_processes
    parser.add_argument('--device', default='-1', metavar='NAME',
                        help='-1 or @numpy for the CPU, or a GPU: 0, 1, ..., @cupy:0'
                        f'{per_process}')
    parser.add_argument('--conv', choices=engines.ENGINES,
                        help='engine of the convolutions (default: the fastest on this machine)')
    if many_processes:
        parser.add_argument('--communicator', choices=COMMUNICATORS, help='ChainerMN communicator '
                            'under mpiexec (default: pure_nccl on GPUs, naive on CPUs)')


def check_numbers(args: argparse.Namespace, names: tuple, lowest: float,
                  highest: float = math.inf) -> None:
    """Refuse values of flags that are out of range, infinite or nan.

    Args:
        args: the values of all flags.
        names: the flags to check, with underscores.
        lowest, highest: the ends of the range, both included unless infinite.

    Raises:
        UserError: the message names the flag, its range and its value.
    """
    for name in names:
        value = getattr(args, name)
        if not (lowest <= value <= highest and math.isfinite(value)):
            to = '' if highest == math.inf else f' to {highest}'
            raise UserError(f'--{name.replace("_", "-")} must be a number from {lowest}{to}, '
                            f'got {value}')
