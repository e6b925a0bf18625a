"""The experiments on reliability: their judgements on small inputs, and their page."""
import os
import pathlib
import subprocess
import sys

from experiments.reliability import disk, killing, kills, processes, ranks, runs, soak, table
from multibox.errors import UserError
from tests.support.mpi import needs_proc

import numpy as np
import pytest

ROOT = pathlib.Path(__file__).parents[2]
PAGE = (ROOT / 'docs/reliability.md').read_text(encoding='utf-8')


def test_the_page_has_the_limits_of_the_readers():
    assert table.limits() in PAGE


def test_the_page_has_the_stored_results():
    assert table.results() in PAGE


def test_every_stored_result_has_a_row_and_holds():
    stored = {path.stem for path in table.FOLDER.glob('*.json')}
    assert stored <= {*table.COMMANDS} and 'DOES NOT HOLD' not in PAGE


@pytest.mark.parametrize('program', [soak, kills, ranks, disk], ids=lambda p: p.__name__)
def test_a_program_explains_itself(program, capsys):
    with pytest.raises(SystemExit, match='0'):
        program.main(['--help'])
    assert 'python -m experiments.reliability' in capsys.readouterr().out


@pytest.mark.parametrize('growth, holds', [(0, True), (2 ** 25, False)])
def test_a_run_that_grows_in_its_second_half_does_not_hold(growth, holds):
    same = {'threads': 3, 'files': 9, 'shared': 0}
    samples = [{'iteration': i, 'main': {'bytes': 10 ** 8 + growth * (i > 70), **same},
                'others': {'bytes': 10 ** 7, **same}} for i in range(100)]
    found = soak.verdict(samples, 100)
    assert found['holds'] is holds and found['growth']['main']['bytes'] == growth


def test_a_window_without_samples_is_no_verdict():
    with pytest.raises(UserError, match='--every: is too long'):
        soak.verdict([], 100)


@needs_proc
def test_a_process_that_is_left_is_named():
    process = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'],
                               start_new_session=True)
    try:
        assert processes.members(process.pid) == [process.pid]
        assert processes.usage(process.pid)['files'] >= 3
        assert 'time.sleep' in processes.left(process.pid, [], seconds=0)['running'][0]
    finally:
        process.kill()
        process.wait()
    assert processes.left(process.pid, []) == {'running': [], 'shared': []}


def test_files_are_equal_to_the_bit_or_not(tmp_path):
    for name, value in (('a', 0.), ('same', 0.), ('other', -0.)):
        np.savez(tmp_path / f'{name}.npz', x=np.array([value], 'f'))
    assert runs.equal(tmp_path / 'a.npz', tmp_path / 'same.npz')
    assert not runs.equal(tmp_path / 'a.npz', tmp_path / 'other.npz')


@pytest.mark.parametrize('name', ['log', 'metrics.json', 'model.npz', 'map.png', 'report.html'])
def test_a_damaged_file_is_found(name, tmp_path):
    (tmp_path / name).write_bytes(b'{')
    assert disk.damage(tmp_path / name)


@pytest.mark.parametrize('code, faults', [
    ('pass', []), ('import sys; sys.exit("one line")', []),
    ('raise KeyError', ['4 lines on stderr']),
    ('import os; os._exit(9)', ['exit status 9', '0 lines on stderr']),
    ('open(OUT + "/notes.txt", "w").write("x")', ['notes.txt is changed']),
    ('import os; os.remove(OUT + "/notes.txt")', ['notes.txt is gone', 'notes.txt is changed']),
    ('open(OUT + "/log", "w").write("[")', ['log is damaged: Expecting value: line 1 column 2 '
                                            '(char 1)'])])
def test_the_acts_of_a_program_on_a_full_disk_are_judged(code, faults, tmp_path):
    out = tmp_path / 'out'
    out.mkdir()
    (out / 'notes.txt').write_text('mine')
    program = tmp_path / 'program.py'
    program.write_text(f'OUT = {str(out)!r}\n{code}\n')
    assert disk.attempt(10 ** 6, out, str(program))['faults'] == faults


@needs_proc
def test_a_run_is_killed_resumed_and_compared(tmp_path, monkeypatch):
    program = tmp_path / 'train.py'
    program.write_text(
        'import pathlib, sys, time\n'
        'out = pathlib.Path(sys.argv[sys.argv.index("--out") + 1])\n'
        'out.mkdir(exist_ok=True)\n'
        '(out / "snapshot_iter_5").touch()\n'
        'time.sleep(.6)\n'
        'import numpy as np\n'
        'np.savez(out / "model.npz", x=np.full(3, "--resume" in sys.argv))\n')
    monkeypatch.setattr(runs, 'ROOT', tmp_path)
    monkeypatch.setattr(runs, 'draw', lambda folder: folder)
    found = killing.kill(tmp_path, 1, 9, 0, lambda rng, process: process.pid)
    assert len(found['kills']) == 1 and found['equal'][-1] is False and not found['holds']
    assert os.path.exists(tmp_path / 'killed-0/model.npz')
