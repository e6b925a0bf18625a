"""One program at a time in a folder: a lock that the system drops when its process ends.

The lock is ``flock`` on a file that names its holder. Two programs that start at one moment cannot
both get it, and a killed process never keeps it, even if another process gets its number. Some
network drives keep such locks on each machine, or refuse them. A file that names another machine
therefore counts as held. Without ``flock`` the number and the start time of the process decide.
filelock, a requirement of Chainer, empties the file before it has the lock, so it can name nobody.
"""
import contextlib
import fcntl
import json
import os
import signal
import socket
import stat
import threading
import time
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

from multibox.errors import UserError
from multibox.files import make_out, remove_parts
from multibox.processes import ONE, OneProcess

NAME = '.multibox-lock'
ENDING = signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1  # each ends a process without clean-up
PATIENCE = 1  # seconds until a holder has written its name
_held: dict[int, list[int]] = {}  # per descriptor, the signals that release the lock


class Lock(contextlib.AbstractContextManager):
    """The lock of a folder, from the moment it is made to the end of the ``with`` statement.

    The folder is made first. Files that killed programs have left in it are removed then.

    Args:
        folder: the folder of ``--out``.
        processes: the processes of the run; the first one locks for all.

    Attributes:
        release: function without arguments that ends the lock; a second call has no effect.

    Raises:
        UserError: another program holds the lock, or the folder or the lock cannot be written. The
            message names the machine and the process.
    """

    def __init__(self, folder: Path, processes: OneProcess = ONE):
        self.release: Callable[[], Any] = lambda: None
        if not processes.is_first:
            return
        make_out(folder)
        path = folder / NAME
        descriptor = _lock(path)
        # A lock that nobody keeps ends like any other object.
        self.release = weakref.finalize(self, _unlock, descriptor, path, os.getpid())
        # A process that waits for MPI would not come to a handler of Python.
        _held[descriptor] = _watch_signals(self.release) if processes.size == 1 else []
        remove_parts(folder)

    def __exit__(self, *_: Any) -> None:
        self.release()


def _lock(path):
    """Get the lock; returns the descriptor of its file."""
    while True:
        descriptor = _open(path)
        try:
            _take(descriptor, path)
            if _is_at(descriptor, path):
                _sign(descriptor, path)
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)  # its holder ended at this moment and removed it


def _open(path):
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        descriptor = os.open(path, flags, 0o666)
    except OSError as error:
        reason = error.strerror
    else:
        if stat.S_ISREG(os.fstat(descriptor).st_mode):
            return descriptor
        os.close(descriptor)
        reason = 'no regular file'
    raise UserError(f'{path}: cannot be used as the lock of the folder ({reason}); remove it if no '
                    'program writes into the folder, or give another --out')


def _take(descriptor, path):
    """Get the lock, or raise UserError if another program has it."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        is_locked = True
    except BlockingIOError:
        end = time.monotonic() + PATIENCE
        while not (holder := _holder(descriptor)) and time.monotonic() < end:
            time.sleep(.02)
        raise _refusal(path.parent, holder) from None
    except OSError:  # this file system has no locks
        is_locked = False
    holder = _holder(descriptor)
    if os.fstat(descriptor).st_nlink > 1:
        raise UserError(f'{path}: is a second name of another file; remove it, or give another '
                        '--out')
    if not holder:
        return
    is_this_boot = holder['boot'] == _boot()
    if holder['host'] != socket.gethostname() and not (_boot() and is_this_boot):
        raise UserError(f'{path.parent}: process {holder["pid"]} on {holder["host"]} writes into '
                        f'this folder, or was killed; if it is dead, remove {path}, else wait for '
                        'its end or give another --out')
    if not is_locked and is_this_boot and _start(holder['pid']) == holder['start']:
        raise _refusal(path.parent, holder)


def _is_at(descriptor, path):
    """Whether a file that is open still has its name."""
    try:
        return os.path.samestat(os.fstat(descriptor), os.lstat(path))
    except OSError:
        return False


def _sign(descriptor, path):
    holder = {'host': socket.gethostname(), 'boot': _boot(), 'pid': os.getpid(),
              'start': _start(os.getpid())}
    try:
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, json.dumps(holder).encode(), 0)
    except OSError as error:
        raise UserError(f'{path}: cannot be written ({error.strerror}); make room or give another '
                        '--out') from None


def _refusal(folder, holder):
    who = f'process {holder["pid"]} on {holder["host"]}' if holder else 'another process'
    return UserError(f'{folder}: {who} is writing into this folder; wait for its end, stop it, or '
                     'give another --out')


def _holder(descriptor):
    """The content of a lock file; None if it is empty or damaged."""
    try:
        holder = json.loads(os.pread(descriptor, 4096, 0))
        types = {'host': str, 'boot': str, 'pid': int, 'start': str}
        return holder if all(type(holder[name]) is types[name] for name in types) else None
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None


def _boot():
    """A text that changes with every start of this machine; empty where it is unknown."""
    try:
        return Path('/proc/sys/kernel/random/boot_id').read_text().strip()
    except OSError:
        return ''


def _start(pid):
    """The start time of a living process, as text, in ticks since the machine started."""
    try:
        fields = Path(f'/proc/{pid}/stat').read_text().rpartition(')')[2].split()
    except OSError:
        return ''
    return '' if fields[0] in 'ZX' else fields[19]


def _unlock(descriptor, path, owner):
    if os.getpid() != owner:  # a fork, which has closed its descriptor
        return
    for number in _held.pop(descriptor, ()):
        signal.signal(number, signal.SIG_DFL)
    if _is_at(descriptor, path):
        with contextlib.suppress(OSError):  # the folder may have become read-only
            path.unlink()
    os.close(descriptor)


def _watch_signals(release):
    """Let the signals that end this process release the lock first; returns their numbers."""
    def end(number, _):
        release()
        os.kill(os.getpid(), number)

    if threading.current_thread() is not threading.main_thread():
        return []
    numbers = [number for number in ENDING if signal.getsignal(number) is signal.SIG_DFL]
    for number in numbers:
        signal.signal(number, end)
    return numbers


def _leave_to_parent():
    """In a fork: neither keep the lock of the parent, nor release it."""
    for descriptor, numbers in _held.items():
        os.close(descriptor)
        for number in numbers:
            signal.signal(number, signal.SIG_DFL)
    _held.clear()


os.register_at_fork(after_in_child=_leave_to_parent)
