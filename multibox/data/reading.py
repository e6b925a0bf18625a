"""Texts and values of a data set's files, read within limits."""
import itertools
import re
import reprlib
from pathlib import Path
from typing import Any

from multibox.errors import UserError
from multibox.files import read_whole

MAX_LIST = 2 ** 26  # bytes of a text file that lists names
MAX_LINES = 2_000_000  # OpenImages, the largest set in use, lists 1.7 million training images
MAX_PATH = 4096  # characters of a path, the limit of Linux
_REPR = reprlib.Repr()
_REPR.maxstring = _REPR.maxother = 60


def read_text(path: Path, limit: int) -> str:
    """Read a text file in UTF-8, with or without a byte order mark.

    Args:
        path: the file.
        limit: the most bytes that the file may have.

    Raises:
        UserError: the file is missing, no regular file, too large, or not in UTF-8.
    """
    try:
        return read_whole(path, limit).decode('utf-8-sig')
    except UnicodeDecodeError as error:
        raise UserError(f'{path}: cannot be read ({error}); save it as UTF-8') from None


def read_lines(path: Path) -> list[str]:
    """The lines of a text file that are not blank, without spaces around them.

    Raises:
        UserError: the file cannot be read, or cannot be a list of names.
    """
    try:
        text = read_whole(path, MAX_LIST).decode('utf-8-sig')
    except (UserError, UnicodeDecodeError) as error:
        raise UserError(f'{path}: cannot be read ({reason_of(error, path)}); it should list one '
                        'name per line in UTF-8') from None
    stripped = (match[0].strip() for match in re.finditer(r'[^\r\n]+', text))
    lines = list(itertools.islice(filter(None, stripped), MAX_LINES + 1))
    if len(lines) > MAX_LINES:
        raise UserError(f'{path}: has more than {MAX_LINES:,} lines; list fewer names')
    longest = max(lines, key=len, default='')
    if len(longest) > MAX_PATH:
        raise UserError(f'{path}: line {lines.index(longest) + 1} has {len(longest):,} characters; '
                        'write one name per line')
    return lines


def reason_of(error: ValueError, path: Path) -> str:
    """The reason in an error about a file, for a problem that names the file itself."""
    return str(error).removeprefix(f'{path}: ')


def number(value: Any) -> float:
    """A number as files write it: a number of JSON, or a text of ASCII digits.

    Args:
        value: the number; ``float`` alone would take '1_000', the digits of any script and True.

    Raises:
        ValueError: the value is no number.
    """
    if isinstance(value, bool) or (
            isinstance(value, str) and (not value.isascii() or '_' in value)):
        raise ValueError(f'{shown(value)} is no number')
    return float(value)


def shown(value: Any) -> str:
    """A value of any type and size, in a few words."""
    return _REPR.repr(value)
