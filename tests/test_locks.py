"""One program at a time in a folder, whatever has become of those before it."""
import errno
import fcntl
import json
import multiprocessing
import os
import signal
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor

from multibox import locks
from multibox.errors import UserError
from multibox.locks import NAME, Lock
from tests.support import mpi

import pytest

ME = {'host': socket.gethostname(), 'boot': locks._boot(), 'pid': os.getpid(),
      'start': locks._start(os.getpid())}
FORK = multiprocessing.get_context('fork')


def test_a_second_program_is_told_who_writes_and_the_end_frees_the_folder(tmp_path):
    out = tmp_path / 'new' / 'out'
    with Lock(out):
        with pytest.raises(UserError) as error:
            Lock(out)
        assert str(error.value) == (
            f'{out}: process {os.getpid()} on {socket.gethostname()} is writing into this folder; '
            'wait for its end, stop it, or give another --out')
    assert list(out.iterdir()) == []
    Lock(out).release()


def test_an_error_frees_the_folder(tmp_path):
    with pytest.raises(ZeroDivisionError), Lock(tmp_path):
        raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == []


def keep(out, pipe):
    """Hold the lock of a folder until the process is killed."""
    with Lock(out):
        pipe.send(None)
        time.sleep(60)


@pytest.fixture
def holder(tmp_path):
    """A process that holds the lock of tmp_path."""
    here, there = FORK.Pipe()
    process = FORK.Process(target=keep, args=(tmp_path, there))
    process.start()
    here.recv()
    yield process
    process.kill()
    process.join()


def test_the_lock_of_a_killed_process_is_replaced(holder, tmp_path):
    with pytest.raises(UserError, match=f'process {holder.pid} on'):
        Lock(tmp_path)
    holder.kill()
    holder.join()
    assert (tmp_path / NAME).exists()
    with Lock(tmp_path):
        assert json.loads((tmp_path / NAME).read_text()) == ME
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize('number', locks.ENDING, ids=lambda number: number.name)
def test_a_signal_that_ends_the_process_frees_the_folder(holder, tmp_path, number):
    os.kill(holder.pid, number)
    holder.join()
    assert holder.exitcode == -number and list(tmp_path.iterdir()) == []


def try_to_lock(out, barrier, results):
    barrier.wait()
    try:
        with Lock(out):
            results.put('won')
            time.sleep(.3)
    except UserError as error:
        results.put(str(error))


@pytest.mark.parametrize('stale', [None, {**ME, 'start': '1'}], ids=['free', 'stale'])
def test_exactly_one_of_processes_that_start_at_one_moment_wins(tmp_path, stale):
    if stale:
        (tmp_path / NAME).write_text(json.dumps(stale))
    barrier, results = FORK.Barrier(6), FORK.Queue()
    processes = [FORK.Process(target=try_to_lock, args=(tmp_path, barrier, results))
                 for _ in range(6)]
    for process in processes:
        process.start()
    ends = [results.get() for _ in processes]
    for process in processes:
        process.join()
    assert ends.count('won') == 1 and sum('is writing into' in end for end in ends) == 5


def test_threads_that_hand_the_lock_over_never_hold_it_together(tmp_path):
    inside, wins = [], []

    def work(_):
        for _ in range(40):
            try:
                with Lock(tmp_path):
                    inside.append(None)
                    wins.append(len(inside))
                    inside.pop()
            except UserError:
                pass
    with ThreadPoolExecutor(4) as executor:
        assert list(executor.map(work, range(4))) == [None] * 4
    assert wins and set(wins) == {1}
    assert list(tmp_path.iterdir()) == []


def sleep_when_ready(connection):
    connection.send(None)
    time.sleep(60)


def test_a_fork_neither_keeps_the_lock_nor_ends_it(tmp_path):
    lock = Lock(tmp_path)
    here, there = FORK.Pipe()
    child = FORK.Process(target=sleep_when_ready, args=(there,))
    child.start()
    try:
        here.recv()  # a signal in the middle of a fork is lost
        with pytest.raises(UserError):
            Lock(tmp_path)
        os.kill(child.pid, signal.SIGTERM)
        child.join()
        assert child.exitcode == -signal.SIGTERM and (tmp_path / NAME).exists()
        child = FORK.Process(target=time.sleep, args=(60,))
        child.start()
        lock.release()
        Lock(tmp_path).release()
    finally:
        child.kill()
        child.join()


def test_a_lock_of_another_machine_stays_and_the_message_tells_how_to_remove_it(tmp_path):
    content = json.dumps({**ME, 'host': 'gpu-7', 'boot': 'other'})
    (tmp_path / NAME).write_text(content)
    with pytest.raises(UserError, match=f'process {os.getpid()} on gpu-7 .*if it is dead, remove '
                                        f'{tmp_path / NAME}, else wait'):
        Lock(tmp_path)
    assert (tmp_path / NAME).read_text() == content


@pytest.mark.parametrize('before', [
    {**ME, 'boot': 'before the last start'}, {**ME, 'host': 'a container'}, {**ME, 'pid': 1}],
    ids=['before a restart of this machine', 'of a container on this machine', 'of a reused pid'])
def test_a_lock_that_nobody_on_this_machine_holds_is_replaced(tmp_path, before):
    (tmp_path / NAME).write_text(json.dumps(before))
    with Lock(tmp_path):
        assert json.loads((tmp_path / NAME).read_text()) == ME


@pytest.mark.parametrize('content', [b'', bytes(100), b'\xff{', b'[]', b'{"pid": 1}', b'[' * 9999,
                                     json.dumps({**ME, 'host': 1}).encode()],
    ids=['empty', 'zeros', 'bytes', 'list', 'few entries', 'nested', 'types'])
def test_a_damaged_lock_that_nobody_holds_is_replaced(tmp_path, content):
    (tmp_path / NAME).write_bytes(content)
    with Lock(tmp_path):
        assert json.loads((tmp_path / NAME).read_text()) == ME


@pytest.mark.parametrize('make', [
    lambda path: path.mkdir(), os.mkfifo, lambda path: path.symlink_to('../target')],
    ids=['folder', 'pipe', 'link'])
def test_a_lock_that_is_no_file_is_named(tmp_path, make):
    out, target = tmp_path / 'out', tmp_path / 'target'
    out.mkdir()
    target.write_text('precious')
    make(out / NAME)
    with pytest.raises(UserError, match=f'{out / NAME}: cannot be used as the lock'):
        Lock(out)
    assert target.read_text() == 'precious'


@mpi.needs_proc
@pytest.mark.parametrize('holder, is_held', [
    (ME, True), ({**ME, 'start': '1'}, False), ({**ME, 'pid': 2 ** 22 + 1}, False)],
    ids=['alive', 'reused pid', 'dead'])
def test_without_locks_of_the_file_system_pid_and_start_time_decide(
        tmp_path, monkeypatch, holder, is_held):
    def fail(*_):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))
    monkeypatch.setattr(fcntl, 'flock', fail)
    (tmp_path / NAME).write_text(json.dumps(holder))
    if is_held:
        with pytest.raises(UserError, match=f'process {os.getpid()} on'):
            Lock(tmp_path)
    else:
        with Lock(tmp_path):
            assert json.loads((tmp_path / NAME).read_text()) == ME
    assert (tmp_path / NAME).exists() == is_held


def test_the_lock_of_another_program_is_not_removed(tmp_path):
    with Lock(tmp_path):
        (tmp_path / NAME).unlink()  # by the user
        other = Lock(tmp_path)
    assert (tmp_path / NAME).exists()
    other.release()


def test_only_the_first_process_locks(tmp_path):
    second = type('Second', (), {'is_first': False, 'size': 2})()
    with Lock(tmp_path), Lock(tmp_path, second):
        pass


def test_leftovers_are_removed_under_the_lock_and_nothing_else(tmp_path):
    litter = tmp_path / 'tmpsnapshot_iter_40ab3_xy9z'
    foreign = tmp_path / 'tmpsnapshot_iter_50ab3_xy9z'
    for folder in litter, foreign:
        folder.mkdir()
        (folder / folder.name[3:19]).write_text('half')
    (litter / '.multibox-0123456789abcdef.part').write_text('')
    (foreign / 'notes.txt').write_text('precious')
    parts = [tmp_path / name for name in (
        '.multibox-0123456789abcdef.part', '.multibox-0123456789abcdef.partial',
        '.multibox-notes.part', 'tmpsnapshot_iter_40', 'tmpsnapshot_iter_40.tar.gz')]
    for part in parts:
        part.write_text('')
    link = tmp_path / 'tmpsnapshot_iter_60ab3_xy9z'
    link.symlink_to(foreign)
    with Lock(tmp_path):
        kept = {path.name for path in tmp_path.iterdir()}
    assert kept == {NAME, foreign.name, link.name, *(part.name for part in parts[1:])}
    assert (foreign / 'notes.txt').read_text() == 'precious'


def test_a_lock_of_a_thread_leaves_the_signals(tmp_path):
    before = signal.getsignal(signal.SIGTERM)
    thread = threading.Thread(target=lambda: Lock(tmp_path).release())
    thread.start()
    thread.join()
    assert signal.getsignal(signal.SIGTERM) is before and list(tmp_path.iterdir()) == []


def test_a_lock_that_is_another_file_by_a_hard_link_is_refused(tmp_path):
    (tmp_path / 'precious').write_text('text')
    (tmp_path / 'out').mkdir()
    (tmp_path / 'out' / NAME).hardlink_to(tmp_path / 'precious')
    with pytest.raises(UserError, match='is a second name of another file'):
        Lock(tmp_path / 'out')
    assert (tmp_path / 'precious').read_text() == 'text'
