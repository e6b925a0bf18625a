"""Seeded mutations of the bytes of a file; :mod:`tests.fuzz.structures` knows formats."""
import itertools
import random
import re
import struct

from tests.fuzz import structures

MAX_BYTES = 2 ** 20  # of a mutant
EDGES = [n + d for n in (0, 2 ** 7, 2 ** 8, 2 ** 15, 2 ** 16, 2 ** 31, 2 ** 32, 2 ** 63, 2 ** 64)
         for d in (-1, 0, 1)]
INTEGERS = [struct.pack(order + kind, n % 2 ** bits) for n in EDGES for order in '<>'
            for kind, bits in (('B', 8), ('H', 16), ('I', 32), ('Q', 64))]
# Texts in the place of a number or of a word.
TOKENS = [b'', b'0', b'-1', b'1e9', b'1e400', b'nan', b'inf', b'-inf', b'null', b'true', b'[]',
          b'{}', b'""', b'"64"', b'0.5', b'10' * 200, b'a' * 5000, b'$\\frac$', b'\x1b[2J', b'\x00',
          b'\xff\xfe', b'\\ud800', b'../../x', b'/etc/passwd', b'<script>', b'&amp;', b'*a', b'%s']
NUMBER, WORD = re.compile(rb'-?\d+(?:\.\d+)?'), re.compile(rb'[A-Za-z_]{2,}')


def mutate(rng: random.Random, seeds: list[bytes]) -> bytes:
    """Change one of several files at one to eight places."""
    content = rng.choice(seeds)
    for _ in range(rng.choice((1, 1, 1, 2, 3, 8))):
        by_format = structures.of(content)
        if by_format and rng.random() < 0.6:
            content = by_format(rng, content, lambda part: _change(rng, part, [part]))
        else:
            content = _change(rng, content, seeds)
    return content[:MAX_BYTES]


def mutants(name: str, seed: int, seeds: list[bytes]):
    """Endless mutants of some files; mutant N of a name and a seed is always the same."""
    for n in itertools.count():
        yield mutate(random.Random(f'{name} {seed} {n}'), seeds)


def _change(rng, content, seeds):
    operation = rng.choice(TEXT + BINARY if NUMBER.search(content[:4096]) else BINARY)
    return operation(rng, content, seeds)


def _place(rng, content):
    """A place in the content; beginnings hold the structure of most formats."""
    n = len(content)
    return rng.randrange(min(n, 64) if rng.random() < 0.3 else n) if n else 0


def _flip(rng, content, _):
    changed = bytearray(content)
    for _ in range(rng.choice((1, 1, 2, 16)) if changed else 0):
        changed[_place(rng, content)] ^= 1 << rng.randrange(8)
    return bytes(changed)


def _truncate(rng, content, _):
    return content[:_place(rng, content)]


def _delete(rng, content, _):
    i = _place(rng, content)
    return content[:i] + content[i + rng.choice((1, 2, 4, 64, 1024)):]


def _insert(rng, content, _):
    i = _place(rng, content)
    return content[:i] + rng.randbytes(rng.choice((1, 2, 4, 64))) + content[i:]


def _splice(rng, content, seeds):
    other = rng.choice(seeds)
    return content[:_place(rng, content)] + other[_place(rng, other):]


def _repeat(rng, content, _):
    i, size = _place(rng, content), rng.choice((1, 4, 16, 256))
    return content[:i] + content[i:i + size] * rng.choice((2, 10, 1000)) + content[i:]


def _integer(rng, content, _):
    i, number = _place(rng, content), rng.choice(INTEGERS)
    return content[:i] + number + content[i + len(number):]


def _token(pattern):
    def replace(rng, content, _):
        found = list(pattern.finditer(content[:2 ** 16]))
        if not found:
            return content
        match = rng.choice(found)
        return content[:match.start()] + rng.choice(TOKENS) + content[match.end():]
    return replace


def _line(rng, content, _):
    lines = content.splitlines(keepends=True)
    if len(lines) < 2:
        return content
    i, j = rng.randrange(len(lines)), rng.randrange(len(lines))
    lines[i] = rng.choice((lines[j], b'', lines[i] * 2))
    return b''.join(lines)


BINARY = [_flip, _truncate, _delete, _insert, _splice, _repeat, _integer]
TEXT = [_token(NUMBER), _token(NUMBER), _token(WORD), _line]
