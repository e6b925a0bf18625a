"""Scripts that run train.py, told to end: what runs saves first, and nothing is left running."""
import contextlib
import os
import signal
import subprocess
import sys
import time

from tests.support import mpi

import pytest

# As train.py does: the first signal of a kind is noted, a second one kills.
TRAIN = '''
import os, pathlib, signal, sys, time
out = pathlib.Path(sys.argv[sys.argv.index('--out') + 1])
out.mkdir(parents=True, exist_ok=True)
noted = []

def note(number, _):
    noted.append(number)
    signal.signal(number, signal.SIG_DFL)
for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1):
    signal.signal(number, note)
(out / 'begun').touch()
while not noted:
    time.sleep(.02)
time.sleep(.5)  # as a snapshot takes
(out / 'saved').touch()
sys.exit(128 + noted[0])
'''
TRAININGS = '''
import pathlib
from experiments import trainings
trainings.ROOT = pathlib.Path.cwd()
trainings.main('', {'k': {'3': [], '1': ['--k', '1']}}, 'result', ['--seeds', '0', '1'])
'''


def wait_for(path):
    for _ in range(600):
        if path.exists():
            return
        time.sleep(.05)
    pytest.fail(f'{path} has not come')


@pytest.fixture(params=['trainings', 'recipe'])
def script(request, tmp_path):
    """A script that runs the train.py above, and the folder of its first run."""
    (tmp_path / 'train.py').write_text(TRAIN)
    if request.param == 'trainings':
        return ['-c', TRAININGS], tmp_path / 'result/baseline-seed0'
    for split in 'trainval', 'test':
        path = tmp_path / f'VOCdevkit/VOC2007/ImageSets/Main/{split}.txt'
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return ['-m', 'experiments', 'run', 'ssd300-07'], tmp_path / 'result/ssd300-07'


@pytest.mark.parametrize('number', [signal.SIGTERM, signal.SIGINT], ids=lambda number: number.name)
@pytest.mark.parametrize('to_all', [False, True], ids=['to it alone', 'to all'])
def test_what_runs_saves_before_a_signal_ends_it(script, number, to_all, tmp_path):
    arguments, out = script
    process = subprocess.Popen(
        [sys.executable, *arguments], cwd=tmp_path, start_new_session=True,
        env={**os.environ, 'PYTHONPATH': str(mpi.ROOT)})
    try:
        wait_for(out / 'begun')
        (os.killpg if to_all else os.kill)(process.pid, number)
        assert process.wait(timeout=30) == 128 + number
    finally:
        with contextlib.suppress(ProcessLookupError):  # none of them is left
            os.killpg(process.pid, signal.SIGKILL)
    assert (out / 'saved').exists()
    assert [path.parent for path in tmp_path.rglob('begun')] == [out]  # no other run has begun
