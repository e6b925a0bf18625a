"""Readers with faults on purpose, to test that the attack finds them."""
import os
import pathlib
import pickle
import signal
import time
import types

from tests.support.malice import Malice

ELSEWHERE = pathlib.Path(__file__).with_name('written')


def crash():
    os.kill(os.getpid(), signal.SIGSEGV)


def hang():
    time.sleep(60)


def undocumented():
    raise KeyError('name')


def swallowed():
    try:
        bytearray(2 ** 40)
    except MemoryError:
        raise ValueError('damaged') from None


def filled():
    return [bytes(2 ** 28) + b'1' for _ in range(9)]


def unpickled():
    pickle.loads(pickle.dumps(Malice('executed')))


def started():
    os.system('true')


def written():
    ELSEWHERE.write_text('x')


def removed():
    os.remove('/nowhere/file')


def documented():
    raise ValueError('damaged')


def accepted():
    pathlib.Path('file').write_text('x')


def _target(call):
    return types.SimpleNamespace(  # a Target would import the whole project
        seeds=list, read=lambda folder, content: call(), clean=(ValueError,))


TARGETS = {call.__name__: _target(call) for call in (
    crash, hang, undocumented, swallowed, filled, unpickled, started, written, removed, documented,
    accepted)}
