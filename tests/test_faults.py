"""Parts that fail alone."""
from multibox.errors import UserError
from multibox.faults import LONGEST, Faults, Incomplete

import pytest


def test_all_parts_are_tried_and_the_end_names_each_failure():
    done = []
    with pytest.raises(Incomplete) as caught, Faults() as faults:
        for name, error in ('a', None), ('b', ZeroDivisionError('on\npurpose')), ('c', None), (
                'd', UserError('d: is bad')), ('e', MemoryError()):
            with faults.of(name):
                if error:
                    raise error
                done.append(name)
    assert done == ['a', 'c']
    first, second, third = str(caught.value).splitlines()
    assert first.startswith('b: failed (ZeroDivisionError: on purpose, test_faults.py, line ')
    assert second == 'd: is bad' and third.startswith('e: failed (MemoryError')


def test_a_whole_inside_a_whole_passes_its_lines_on():
    with pytest.raises(Incomplete) as caught, Faults() as faults, faults.of('outer'), \
            Faults() as inner:
        for name in 'a', 'b':
            with inner.of(name):
                raise ValueError(name)
    assert [line[:9] for line in str(caught.value).splitlines()] == ['a: failed', 'b: failed']


@pytest.mark.parametrize('end', [KeyboardInterrupt, SystemExit])
def test_the_end_of_a_program_passes(end):
    with pytest.raises(end), Faults() as faults:
        with faults.of('a'):
            raise ValueError
        with faults.of('b'):
            raise end


def test_a_line_is_short_and_steers_no_terminal():
    faults = Faults()
    with faults.of('a\x1b[2J'):
        raise ValueError('\x1b\n\u202e' + 'x' * 10 ** 6)
    line, = faults.found
    assert len(line) < LONGEST + 100 and '\x1b' not in line and '\u202e' not in line
