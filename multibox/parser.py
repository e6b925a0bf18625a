"""The parser of the programs: flags by their whole names only, and one line per mistake."""
import argparse
import difflib
import itertools
import sys
from collections.abc import Iterable
from typing import Any, NoReturn

# Flags of other trainers without their punctuation, and the flags of these programs for the same.
ALIASES = {
    'batch': ('batchsize',), 'bs': ('batchsize',), 'dataset': ('data',), 'datasetroot': ('data',),
    'conf': ('score',), 'gpu': ('device',), 'iou': ('nms',), 'project': ('out',),
    'imgsz': ('model',), 'iters': ('iteration',), 'learningrate': ('lr',),
    'lr0': ('lr',), 'numworkers': ('loader-processes',), 'output': ('out',),
    'savefolder': ('out',), 'weights': ('pretrained', 'model'), 'workers': ('loader-processes',)}


MAX_KNOWN = 1000  # names that a misspelt one is compared with
MAX_LENGTH = 200  # characters of a misspelt name that is compared


class _HelpFormatter(argparse.RawDescriptionHelpFormatter):
    """Keeps the line breaks of the description, and adds the default to the help of each flag."""

    def _get_help_string(self, action):
        if action.default in (None, argparse.SUPPRESS) or isinstance(action.default, bool):
            return action.help
        return f'{action.help} (default: %(default)s)'


class Parser(argparse.ArgumentParser):
    """A parser that suggests the nearest flag or choice for a misspelt one.

    A mistake ends the program with the status 2 and one line on stderr, without the usage text.
    Parsers of subcommands behave alike.

    Args:
        options: arguments of ``argparse.ArgumentParser``.
    """

    def __init__(self, **options: Any):
        super().__init__(**{'formatter_class': _HelpFormatter, 'allow_abbrev': False, **options})

    def parse_known_args(self, args=None, namespace=None):
        """Parse as argparse does, but report an unknown flag before a missing argument."""
        args = sys.argv[1:] if args is None else list(args)
        if self._subparsers is None:  # else the parser of the subcommand checks its own flags
            self._check_flags(args)
        return super().parse_known_args(args, namespace)

    def error(self, message: str) -> NoReturn:
        """End the program with one line."""
        self.exit(2, f'{self.prog}: {message.removeprefix("argument ")}\n')

    def _check_flags(self, args):
        words = args[:args.index('--')] if '--' in args else args
        for word in words:
            flag = word.partition('=')[0]
            if _looks_like_a_flag(flag) and flag not in self._option_string_actions:
                near = _nearest_flag(flag, self._option_string_actions)
                self.error(f'unknown flag {flag}; '
                           + (f'did you mean {near}?' if near else '--help lists all flags'))

    def _check_value(self, action, value):
        if action.choices is not None and value not in action.choices:
            name = action.option_strings[-1] if action.option_strings else action.dest
            self.error(f'{name} {value}: unknown{suggestion(value, action.choices)}; choose from '
                       + ', '.join(map(str, action.choices)))


def suggestion(value: str, known: Iterable[str]) -> str:
    """Ask whether another name was meant.

    Args:
        value: a misspelt name.
        known: the names to choose from.

    Returns:
        ``' (did you mean NAME?)'`` with the nearest name, or an empty text if none is near.
    """
    names = {_plain(name): name for name in itertools.islice(known, MAX_KNOWN)}
    near = _nearest(value, names) if len(value) <= MAX_LENGTH else None
    return f' (did you mean {near}?)' if near else ''


def _nearest_flag(flag, flags):
    """The flag that an unknown one stands for, the flag that it begins, or the nearest one."""
    names = {_plain(name): name for name in flags}
    for other in ALIASES.get(_plain(flag), ()):
        if f'--{other}' in flags:
            return f'--{other}'
    begun = [name for plain, name in names.items() if plain.startswith(_plain(flag))]
    return begun[0] if begun else _nearest(flag, names)


def _nearest(value, names):
    """The value of ``names`` whose key is nearest to ``value``, or None."""
    near = difflib.get_close_matches(_plain(value), names, n=1)
    return names[near[0]] if near else None


def _plain(name):
    return name.lower().replace('-', '').replace('_', '')


def _looks_like_a_flag(word):
    """Whether argparse takes a word for a flag: it begins with a dash, and is no number."""
    if not word.startswith('-') or word == '-' or ' ' in word:
        return False
    try:
        float(word)
    except ValueError:
        return True
    return False
