"""What the processes of a run hold, read from /proc (Linux)."""
import contextlib
import os
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from multibox.errors import UserError

PROC, SHARED = Path('/proc'), '/dev/shm/'


def check_system() -> None:
    """Refuse a system without /proc.

    Raises:
        UserError: the system is not Linux.
    """
    if not (PROC / 'self/status').exists():
        raise UserError(f'{sys.platform}: has no /proc to read; run this on Linux')


def members(session: int) -> list[int]:
    """The processes of a session that have not ended, the oldest first.

    Args:
        session: the process id of its leader, which ``subprocess.Popen(start_new_session=True)``
            makes.
    """
    found = []
    for entry in PROC.iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                fields = (entry / 'stat').read_text().rpartition(')')[2].split()
                if int(fields[3]) == session and fields[0] not in 'ZX':
                    found.append(int(entry.name))
    return sorted(found)


def children(pid: int) -> list[int]:
    """The processes that a process has started and that have not ended, without theirs."""
    with contextlib.suppress(OSError):
        return [int(child) for task in (PROC / str(pid) / 'task').iterdir()
                for child in (task / 'children').read_text().split()]
    return []


def command(pid: int) -> list[str]:
    """The command line of a process; empty if it has ended."""
    with contextlib.suppress(OSError):
        return (PROC / str(pid) / 'cmdline').read_text(errors='replace').split('\0')
    return []


def usage(pid: int) -> dict[str, Any] | None:
    """The resources of a process.

    Returns:
        ``bytes``, its resident memory; ``threads``; ``files``, the number of open ones; and
        ``shared``, a set of its files in /dev/shm. None if the process has ended.
    """
    try:
        lines = (PROC / str(pid) / 'status').read_text().splitlines()
        status = dict(line.split(':', 1) for line in lines if ':' in line)
        return {'bytes': 1024 * int(status['VmRSS'].split()[0]), 'threads': int(status['Threads']),
                'files': len(os.listdir(PROC / str(pid) / 'fd')), 'shared': shared([pid])}
    except (OSError, KeyError):
        return None


def shared(pids: Iterable[int]) -> set[str]:
    """The files in /dev/shm that some processes have mapped and that have a name still."""
    found = set()
    for pid in pids:
        with contextlib.suppress(OSError):
            for line in (PROC / str(pid) / 'maps').read_text(errors='replace').splitlines():
                path = line[line.find('/'):]
                if path.startswith(SHARED) and not path.endswith('(deleted)'):
                    found.add(path)
    return found


def left(session: int, files: Iterable[str], seconds: float = 10) -> dict[str, list]:
    """Wait until the processes of a session have ended and their files in /dev/shm are gone.

    Args:
        session: as for :func:`members`.
        files: the files.
        seconds: how long to wait.

    Returns:
        ``running``, the command lines of the processes that are left, and ``shared``, the files.
    """
    end = time.monotonic() + seconds
    while True:
        running, there = members(session), sorted(path for path in files if os.path.exists(path))
        if time.monotonic() > end or not (running or there):
            return {'running': [' '.join(command(pid))[:200] for pid in running], 'shared': there}
        time.sleep(.1)
