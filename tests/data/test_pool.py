"""Worker processes that decode images: order, crashes, hangs, memory, and their end."""
import os
import subprocess
import sys
import time

from multibox.data import inspection, pool
from multibox.data.inspection import inspect_all
from multibox.data.pictures import Picture, Refused, Unreadable, inspect, read_resized
from multibox.data.pool import Pool, map_batches, map_files
from multibox.errors import UserError
from tests.support.acts import act

import numpy as np
import pytest
from PIL import Image


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty folder, and two processes for the test alone."""
    own = Pool(2)
    monkeypatch.setattr(pool, '_pool_of', lambda pid: own)
    yield tmp_path
    own.close()


def outcomes(folder, *names, **options):
    return list(map_files(act, [(folder / f'{name}.jpg',) for name in names], **options))


def test_results_come_in_order_from_several_processes(folder):
    found = outcomes(folder, *map(str, range(60)), n_ahead=40)
    assert [name for name, *_ in found] == list(map(str, range(60)))
    assert os.getpid() not in {pid for _, pid, _ in found}


@pytest.mark.parametrize('name, reason', [
    ('crash', 'the decoder crashed on it, SIGSEGV'), ('killed', 'killed by SIGKILL, most often'),
    ('exit', 'the decoder crashed on it, status 3'), ('memory', 'needs more memory than')])
def test_the_file_on_which_a_worker_dies_is_named_and_the_others_go_on(folder, name, reason):
    first, dead, *others = outcomes(folder, 'a', name, *'bcd')
    assert isinstance(dead, Refused) and reason in str(dead)
    assert [each[0] for each in (first, *others)] == list('abcd')


def test_the_file_on_which_a_worker_hangs_is_named_and_the_others_go_on(folder):
    impatient = Pool(1, seconds=1)
    hanging, other = (impatient.submit(act, (folder / name,), 1) for name in ('hang', 'a'))
    with pytest.raises(Refused, match='not decoded after 1 seconds'):
        hanging.result()
    assert other.result()[0] == 'a'
    impatient.close()


def test_a_mistake_in_a_function_is_raised(folder):
    with pytest.raises(ZeroDivisionError):
        outcomes(folder, 'mistake')


def test_workers_do_without_chainer(folder):
    assert outcomes(folder, 'chainer') == [False]


def test_few_files_are_left_to_one_process(folder):
    assert len({pid for _, pid, _ in outcomes(folder, *'abcd')}) == 1


def test_only_so_many_calls_begin_before_their_result_is_taken(folder):
    taken = []
    results = map_files(act, ((taken.append(n) or folder / f'{n}',) for n in range(50)), n_ahead=3)
    next(results)
    assert len(taken) == 4


@pytest.mark.parametrize('overlap', [False, True])
def test_results_are_collected_in_lists(folder, overlap):
    found = list(map_batches(act, [(folder / str(n),) for n in range(5)], 2, overlap=overlap))
    assert [[name for name, *_ in batch] for batch in found] == [['0', '1'], ['2', '3'], ['4']]


def test_a_path_is_that_of_this_process(folder, monkeypatch):
    outcomes(folder, 'a')
    Image.new('RGB', (4, 3)).save(folder / 'x.png')
    monkeypatch.chdir(folder)
    assert inspect_all([pool.Path('x.png')], 'x') == {pool.Path('x.png'): Picture(4, 3, 1)}


def test_a_process_that_does_not_start_is_told(folder, monkeypatch):
    monkeypatch.setattr(pool.multiprocessing.spawn, 'get_executable', lambda: '/bin/false')
    with pytest.raises(UserError, match='a process that decodes images cannot be started'):
        outcomes(folder, 'a')


def test_a_crash_is_not_remembered(folder, monkeypatch):
    path = folder / 'x.png'
    Image.new('RGB', (4, 3)).save(path)
    monkeypatch.setattr(inspection, 'map_files',
                        lambda function, items, limit: [Refused('a crash') for _ in items])
    assert inspect_all([path], str(path)) == {path: 'a crash'}
    monkeypatch.undo()
    assert inspect_all([path], str(path)) == {path: Picture(4, 3, 1)}


# limits

def test_the_cache_does_not_answer_for_another_limit(folder):
    path = folder / 'x.png'
    Image.new('RGB', (40, 30)).save(path)
    for limit, large in ((1199, True), (1200, False), (1199, True)):
        found = inspect_all([path], str(path), limit)[path]
        assert isinstance(found, str) is large
    assert found == ('image is too large: 40 x 30 pixels, more than 1,199; --max-pixels sets '
                     'another limit')


def test_a_higher_limit_lifts_that_of_pillow(folder, monkeypatch):
    Image.new('1', (200, 100)).save(folder / 'x.png')
    monkeypatch.setattr(Image, 'MAX_IMAGE_PIXELS', 5000)
    with pytest.raises(Unreadable, match='too large'):
        inspect(folder / 'x.png', 5000)
    assert inspect(folder / 'x.png', 20000) == Picture(200, 100, 1)


@pytest.mark.slow
def test_a_large_picture_of_every_kind_fits_into_the_memory_of_a_worker(tmp_path):
    rng, size = np.random.default_rng(0), (4000, 5000)
    grey = rng.integers(0, 2 ** 16, size).astype(np.uint16)
    Image.fromarray(grey).save(tmp_path / 'grey.tif')
    Image.fromarray((grey >> 8).astype(np.uint8)).convert('RGBA').save(
        tmp_path / 'x.png', compress_level=0)
    items = [(path, 300) for path in sorted(tmp_path.glob('*.*'))]
    for found in map_files(read_resized, items, 20_000_000):
        assert found.shape == (3, *size)


def test_the_memory_of_a_worker_is_bounded(folder):
    path = folder / 'memory.jpg'
    assert 'memory' in str(next(map_files(act, [(path,)], max_pixels=1)))


# the end

SCRIPT = """
import os, signal, sys, time
from pathlib import Path
from multibox.data import pool
from tests.support.acts import act
if __name__ == '__main__':
    results = pool.map_files(act, [(Path('a'),), (Path('hang'),)])
    print(next(results)[1], flush=True)
    END
"""


def is_gone(pid):
    for _ in range(50):
        try:
            with open(f'/proc/{pid}/stat') as file:
                if file.read().rpartition(')')[2].split()[0] == 'Z':
                    return True
        except OSError:
            return True
        time.sleep(.1)
    return False


@pytest.mark.slow
@pytest.mark.skipif(not os.path.exists('/proc/self/stat'), reason='no /proc')
@pytest.mark.parametrize('end, status', [
    ('os.kill(os.getpid(), signal.SIGKILL)', -9), ('sys.exit(4)', 4),
    ('raise KeyboardInterrupt', -2),
    ('os.killpg(0, signal.SIGINT); next(results)', -2)])
def test_workers_end_with_the_main_process_and_in_silence(end, status):
    result = subprocess.run([sys.executable, '-c', SCRIPT.replace('END', end)], text=True,
                            capture_output=True, timeout=30, start_new_session=True)
    assert result.returncode == status and is_gone(result.stdout.strip())
    assert result.stderr.count('Traceback') <= 1
