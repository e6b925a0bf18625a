"""Output that a terminal shows safely, whatever the names of files and classes in it hold."""
import contextlib
import os
import re
import sys
from collections.abc import Iterator
from typing import TextIO

LONGEST = 4000  # characters of a line, of which the middle is left out beyond that
# Control characters but tab and line feed, line separators, and the marks that reverse a line.
UNSAFE = re.compile('[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]')


def printable(text: str, longest: int = LONGEST) -> str:
    """Escape the characters of a text that would steer a terminal, and shorten long lines.

    Args:
        text: the text, of any number of lines.
        longest: characters of a line that are kept.

    Returns:
        The text with unsafe characters written as in Python, such as ``\\x1b``.
    """
    lines = [line if len(line) <= longest else
             f'{line[:longest * 3 // 4]} [{len(line) - longest:,} characters left out] '
             f'{line[len(line) - longest // 4:]}' for line in text.split('\n')]
    return UNSAFE.sub(lambda match: ascii(match[0])[1:-1], '\n'.join(lines))


class Printable:
    """A stream of text that escapes unsafe characters.

    Args:
        stream: the stream to write to, which has all other methods.
    """

    def __init__(self, stream: TextIO):
        self._stream = stream

    def __getattr__(self, name):
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """Write a text; a carriage return at its beginning stays, as progress bars begin so."""
        bare = text.lstrip('\r')
        with _going_on():
            self._stream.write(text[:len(text) - len(bare)] + printable(bare))
        return len(text)

    def flush(self) -> None:
        """Flush the stream."""
        with _going_on():
            self._stream.flush()


@contextlib.contextmanager
def _going_on():
    """Lose text that a full disk does not take: no output is worth the loss of the work."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError:
        pass


@contextlib.contextmanager
def printable_output() -> Iterator[None]:
    """Escape unsafe characters in stdout and stderr, and characters that their encoding lacks."""
    before = sys.stdout, sys.stderr
    for stream in before:
        if hasattr(stream, 'reconfigure'):
            stream.reconfigure(errors='backslashreplace')  # prints paths that are not UTF-8
    with open(os.devnull, 'w') as nowhere:  # for a stream that was closed before the start
        sys.stdout, sys.stderr = (Printable(stream or nowhere) for stream in before)
        try:
            yield
        finally:
            sys.stdout, sys.stderr = before
