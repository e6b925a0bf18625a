"""Flags that several programs share, and checks of the values of flags."""
import argparse
import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from multibox import engines
from multibox.devices import DEVICES
from multibox.errors import UserError
from multibox.files import reading
from multibox.parser import Parser, suggestion
from multibox.processes import COMMUNICATORS

MAX_NUMBER = 2 ** 32 - 1  # of any flag; NumPy takes no larger seed


def make_parser(description: str | None, prog: str | None = None) -> Parser:
    """Make a parser whose help keeps the line breaks of the description and states defaults.

    Args:
        description: the text at the top of ``--help``.
        prog: the name of the program; None means the name of the running script.
    """
    return Parser(description=description, prog=prog)


def add_hardware_flags(parser: Any, many_processes: bool = True) -> None:
    """Add ``--device`` and ``--conv`` to a parser, and ``--communicator`` for many processes.

    Args:
        parser: a parser, or a group of its arguments.
        many_processes: whether the program runs under mpiexec.
    """
    per_process = '; under mpiexec, any GPU stands for one GPU per process' * many_processes
    parser.add_argument('--device', default='cpu', metavar='NAME',
                        help=f'{DEVICES}{per_process}')
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
        lowest, highest: the ends of the range, both included; :data:`MAX_NUMBER` ends every range.

    Raises:
        UserError: the message names the flag, its range and its value.
    """
    for name in names:
        value = getattr(args, name)
        if not lowest <= value <= min(highest, MAX_NUMBER):  # also false for nan
            to = '' if highest == math.inf and value < MAX_NUMBER else (
                f' to {min(highest, MAX_NUMBER)}')
            raise UserError(f'--{name.replace("_", "-")} must be a number from {lowest}{to}, '
                            f'got {value}')


def check_all(*checks: Callable[[], Any]) -> None:
    """Run checks, and report the faults of all of them together.

    Args:
        checks: functions without arguments, which raise UserError for a fault.

    Raises:
        UserError: at least one check failed; the message has one line per fault.
    """
    faults = []
    for check in checks:
        try:
            check()
        except UserError as error:
            faults.append(str(error))
    if faults:
        raise UserError('\n'.join(faults))


def check_path(path: Path, remedy: str, folder: bool = False) -> None:
    """Refuse a path that does not exist.

    Args:
        path: the path of a file or a folder.
        remedy: the end of the message, such as 'give --model a model.npz'.
        folder: whether the path has to be that of a folder.

    Raises:
        UserError: the message suggests the nearest name in the same folder.
    """
    with reading(path):
        if path.is_dir() if folder else path.exists():
            return
    if path.is_file():
        raise UserError(f'{path}: is a file; give its folder, {path.parent}')
    kind = 'folder' if folder else 'file'
    names = os.listdir(path.parent) if path.parent.is_dir() else []
    raise UserError(f'{path}: no such {kind}{suggestion(path.name, names)}; {remedy}')


def check_out(folder: Path) -> None:
    """Refuse a folder for results that cannot be made or written to; nothing is made.

    Raises:
        UserError: the message names the folder.
    """
    there = next(path for path in (folder, *folder.parents) if path.exists())
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        reason = 'is no folder' if not there.is_dir() else 'cannot be written to'
        raise UserError(f'--out {folder}: cannot be made ({there} {reason}); give a folder that '
                        'can be written to')
