"""Names in messages can neither steer a terminal nor fill it."""
import sys

from multibox.errors import UserError, ending_together
from multibox.terminal import LONGEST, printable, printable_output

import pytest


@pytest.mark.parametrize('text, shown', [
    ('caf\u00e9 \u732b', 'caf\u00e9 \u732b'),
    ('two\nlines\tand a tab', 'two\nlines\tand a tab'),
    ('\x1b[31mred\x07', '\\x1b[31mred\\x07'),
    ('over\rwritten', 'over\\rwritten'),
    ('\u202egnp.exe', '\\u202egnp.exe'),
    ('c1 \x9b2J', 'c1 \\x9b2J')])
def test_escapes(text, shown):
    assert printable(text) == shown


def test_long_line_loses_its_middle():
    shown = printable('a' * 10_000_000 + 'b\nshort')
    assert shown.endswith('b\nshort') and shown.startswith('aaa')
    assert len(shown) < LONGEST + 60 and f'{10_000_001 - LONGEST:,} characters' in shown


def test_message_of_an_error_is_escaped(capsys):
    with pytest.raises(SystemExit), ending_together('train.py'):
        raise UserError('\x1b]0;title\x07.jpg: no such file')
    assert capsys.readouterr().err == 'train.py: \\x1b]0;title\\x07.jpg: no such file\n'


def test_progress_bar_may_begin_its_line_anew(capsys):
    with printable_output():
        sys.stderr.write('\r 50% \x1b')
    assert capsys.readouterr().err == '\r 50% \\x1b'


def test_streams_are_as_before_at_the_end():
    before = sys.stdout, sys.stderr
    with printable_output():
        print('')
    assert (sys.stdout, sys.stderr) == before


class Full:
    """A stream on a full disk."""

    def write(self, text):
        raise OSError(28, 'No space left on device')

    flush = None


def test_a_full_disk_and_a_closed_stream_lose_the_output_alone(monkeypatch):
    monkeypatch.setattr(sys, 'stdout', Full())
    monkeypatch.setattr(sys, 'stderr', None)
    with printable_output():
        print('lost')
        print('nowhere', file=sys.stderr)
