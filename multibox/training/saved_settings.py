"""Checks of a settings.json: each value must be one that the flag of its name could have."""
import argparse
import math
import pathlib
from collections.abc import Callable

from multibox.errors import UserError
from multibox.flags import check_numbers
from multibox.parser import Parser
from multibox.weights.values import check_label_names

# The flags with a number, and the lowest value of each.
FROM_1 = ('iteration', 'batchsize', 'log_interval', 'snapshot_interval', 'eval_interval',
          'max_pixels')
FROM_0 = ('lr', 'trunk_lr', 'weight_decay', 'momentum', 'bias_scale', 'k', 'alpha', 'seed',
          'warmup', 'loader_processes', 'patience')
# The settings that are no flags, by type.
OTHERS = {'images': int, 'processes': int, 'annotations': int, 'cuts_given': bool,
          'eval_interval_given': bool}
KINDS = {int: 'a whole number', float: 'a number', bool: 'true or false', str: 'a text'}
NEXT = 'mend the file, or start anew without --resume'


def check_saved(path: pathlib.Path, saved: dict, parser: Parser, required: tuple) -> None:
    """Refuse settings of a run that no flag could have given.

    Args:
        path: the settings.json, for messages.
        saved: {name: value}, as read from the file; names that are no settings are ignored.
        parser: the parser of ``train.py``.
        required: names whose value must not be null, although the flag may be absent.

    Raises:
        UserError: the message names the file, the setting and its value.
    """
    for action in parser._actions:
        if action.dest in saved:
            _check(path, action.dest, saved[action.dest], action, required)
    for name, kind in OTHERS.items():
        if name in saved and type(saved[name]) is not kind:
            _refuse(path, name, saved[name], KINDS[kind])
    if 'classes' in saved:
        check_label_names(path, saved['classes'], NEXT)
    numbers = argparse.Namespace(**{name: saved[name] for name in (*FROM_0, *FROM_1, 'frozen')
                                    if saved.get(name) is not None})
    for names, lowest in (((*FROM_0, 'frozen'), 0), (FROM_1, 1)):
        try:
            check_numbers(numbers, tuple(name for name in names if name in numbers), lowest)
        except UserError as error:
            raise UserError(f'{path}: {error}; {NEXT}') from None


def _check(path, name, value, action, required):
    """Refuse a value that is not of the type of a flag, or none of its choices."""
    if value is None and action.default is None and name not in required:
        return
    kind: Callable = action.type or (bool if action.nargs == 0 else str)
    kind = str if kind is pathlib.Path else kind
    is_list = action.nargs == '*'
    values = value if is_list and isinstance(value, list) else [value]
    if is_list and not isinstance(value, list):
        _refuse(path, name, value, f'a list, each entry {KINDS[kind]}')
    for each in values:
        number = type(each) in (int, float) and abs(each) < math.inf  # false for nan
        good = {int: number and type(each) is int, float: number, bool: type(each) is bool,
                str: type(each) is str and '\0' not in each}[kind]
        if not good:
            _refuse(path, name, value, f'a list, each entry {KINDS[kind]}' if is_list else
                    KINDS[kind])
    if action.choices is not None and value not in action.choices:
        _refuse(path, name, value, f'one of {", ".join(map(str, action.choices))}')


def _refuse(path, name, value, wanted):
    text = ascii(value)
    raise UserError(f'{path}: {name} must be {wanted}, got {text[:60]}{"..." * (len(text) > 60)}; '
                    f'{NEXT}')
