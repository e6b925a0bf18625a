"""train.py in one or two processes: the result is the same, and every run ends cleanly."""
import importlib.util
import os
import signal
import time

from multibox.locks import Lock
from tests.support import mpi
from tests.support.logs import log_without_time

import numpy as np
import pytest

FAULTY = mpi.ROOT / 'tests' / 'support' / 'faulty_train.py'


def flags(folder, out, **changes):
    values = {'data': folder, 'out': out, 'model': 'slim300', 'batchsize': 2, 'iteration': 20,
              'log-interval': 3, 'snapshot-interval': 5, 'eval-interval': 20,
              'loader-processes': 0, **changes}
    return [str(x) for name, value in values.items() for x in (f'--{name}', value)] + ['--cuts']


def arrays(path):
    with np.load(path, allow_pickle=False) as archive:
        return dict(archive)


@pytest.fixture
def start():
    """``mpi.start``. All its processes and their descendants are killed when the test ends."""
    started = []

    def start_and_note(*arguments, **options):
        started.append(mpi.start(*arguments, **options))
        return started[-1]
    yield start_and_note
    for process in started:
        for pid in mpi.descendants(process.pid):
            if mpi.is_alive(pid):
                os.kill(pid, signal.SIGKILL)
        process.kill()
        process.communicate()


def wait_for(condition, process, seconds=90):
    end = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end, 'it takes too long'
        time.sleep(.05)


def end_of(process, seconds):
    """Exit status, output and errors of a process that has ``seconds`` to end."""
    output, errors = process.communicate(timeout=seconds)
    return process.returncode, output, errors


def assert_one_and_two_processes_end_alike(data, tmp_path, iteration, cut, **changes):
    """Compare the parameters of both runs, in double precision; returns their number."""
    changes = {'optimizer': 'momentum_sgd', 'lr': '1e-3', 'batchsize': 4, 'iteration': iteration,
               **changes}
    for n in (None, 2):
        result = mpi.run(n, FAULTY, 'double precision', *flags(
            data, tmp_path / str(n), **changes), cut)  # the value of --cuts
        assert result.returncode == 0, result.stderr
    one, two = (arrays(tmp_path / n / f'snapshot_iter_{iteration}') for n in ('None', '2'))
    names = [name for name in one if name.startswith('updater/model:main/')]
    for name in names:
        np.testing.assert_allclose(two[name], one[name], rtol=1e-5, atol=1e-7, err_msg=name)
    return len(names)


@pytest.mark.slow
@mpi.needs_mpiexec
def test_twenty_iterations_end_in_the_same_parameters_on_one_and_on_two_processes(data, tmp_path):
    # Normalisation makes 1 and -1 of any 2 values, so a batch of 2 would amplify rounding.
    n_parameter = assert_one_and_two_processes_end_alike(data, tmp_path, 20, '12', warmup=3)
    assert n_parameter > 60
    logs = [log_without_time(tmp_path / n) for n in ('None', '2')]
    assert len({entry['lr'] for entry in logs[0]}) > 2
    assert [entry.keys() for entry in logs[0]] == [entry.keys() for entry in logs[1]]
    for ours, theirs in zip(*logs):
        assert list(ours.values()) == pytest.approx(list(theirs.values()), rel=1e-5)


@pytest.mark.slow
@mpi.needs_mpiexec
def test_patience_ends_two_processes_together_and_a_resumed_run_alike(data, tmp_path):
    out, resumed = tmp_path / 'out', tmp_path / 'resumed'
    # The rate 0 keeps the weights, and mAP is soon no better.
    changes = {'lr': 0, 'eval-interval': 1, 'patience': 2, 'snapshot-interval': 1}
    result = mpi.run(2, mpi.ROOT / 'train.py', *flags(data, out, **changes))
    assert result.returncode == 0 and result.stdout.count('ended after iteration') == 1, result
    last = log_without_time(out)[-1]['iteration']
    assert 3 <= last < 20
    resumed.mkdir()
    for name in f'snapshot_iter_{last - 1}', 'settings.json':
        (resumed / name).write_bytes((out / name).read_bytes())
    result = mpi.run(2, mpi.ROOT / 'train.py', '--out', resumed, '--resume')
    assert result.returncode == 0 and f'ended after iteration {last} ' in result.stdout, result
    assert log_without_time(resumed) == log_without_time(out)
    for name in 'best.npz', 'model.npz':
        ours, expected = arrays(resumed / name), arrays(out / name)
        assert ours.keys() == expected.keys()
        for key, array in expected.items():
            np.testing.assert_array_equal(ours[key], array, err_msg=f'{name} {key}')


@pytest.fixture(scope='module', params=[None, 2], ids=['alone', 'two processes'])
def uninterrupted(request, data, tmp_path_factory):
    """The number of processes, and the folder of their run of 20 iterations."""
    if request.param and mpi.MPIEXEC is None:
        pytest.skip('no mpiexec beside this Python')
    out = tmp_path_factory.mktemp('straight') / 'out'
    result = mpi.run(request.param, mpi.ROOT / 'train.py', *flags(
        data, out, **{'loader-processes': 2}))
    assert result.returncode == 0, result.stderr
    return request.param, out


@pytest.mark.slow
@mpi.needs_proc
@pytest.mark.parametrize('number', [signal.SIGTERM, None], ids=['SIGTERM', 'another'])
def test_a_signal_saves_and_resuming_ends_bit_for_bit_like_straight_on(
        uninterrupted, data, tmp_path, start, number):
    n, straight = uninterrupted
    out = tmp_path / 'out'
    process = start(n, mpi.ROOT / 'train.py', *flags(data, out, **{'loader-processes': 2}))
    wait_for((out / 'log').exists, process)  # after three iterations
    if n is None:
        number = number or signal.SIGINT
        process.send_signal(number)
    elif number:
        mpi.signal_ranks(process, number)
    else:
        number = signal.SIGUSR1
        process.send_signal(number)  # mpiexec forwards this signal
    code, output, errors = end_of(process, 30)
    assert code == 128 + number, (output, errors)
    assert output.count(f'by {number.name}; --resume goes on from there') == 1
    assert 'Traceback' not in errors
    stopped_at = max(int(path.name.rpartition('_')[2]) for path in out.glob('snapshot_iter_*'))
    assert 3 <= stopped_at < 20
    result = mpi.run(n, mpi.ROOT / 'train.py', '--out', out, '--resume')
    assert result.returncode == 0 and f'resuming after iteration {stopped_at}' in result.stdout
    ours, expected = (arrays(folder / 'snapshot_iter_20') for folder in (out, straight))
    names = [name for name in expected if name.startswith('updater/')]
    assert any('optimizer' in name for name in names)
    for name in names:
        np.testing.assert_array_equal(ours[name], expected[name], err_msg=name)
    assert log_without_time(out) == log_without_time(straight)


@pytest.mark.slow
@mpi.needs_mpiexec
def test_an_exception_on_one_process_ends_all_with_that_one_error(data, tmp_path, start):
    process = start(2, FAULTY, 'exception', *flags(data, tmp_path / 'out'))
    wait_for((tmp_path / 'out' / 'log').exists, process)
    code, output, errors = end_of(process, 10)
    assert code != 0 and errors.count('ZeroDivisionError: on purpose') == 1, (output, errors)
    assert errors.count('Traceback') == 1


@mpi.needs_mpiexec
def test_a_killed_process_ends_the_others(data, tmp_path, start):
    process = start(2, FAULTY, 'killed', *flags(data, tmp_path / 'out'))
    wait_for((tmp_path / 'out' / 'log').exists, process)
    code, *_ = end_of(process, 10)
    assert code != 0


@mpi.needs_mpiexec
@pytest.mark.parametrize('change, message', [
    ({'data': 'nowhere'}, 'train.py: nowhere: no such folder'),
    ({'batchsize': 3}, '--batchsize 3 is for all 2 processes together, which cannot share it '
                       'evenly; 2 or 4 can be'),
    ({'communicator': 'pure_nccl'}, '--communicator pure_nccl is for GPUs'),
    pytest.param({'communicator': 'flat', 'device': 0},
                 '--communicator flat: CuPy finds no NCCL', marks=pytest.mark.skipif(
                     importlib.util.find_spec('cupy') is not None, reason='CuPy may find NCCL')),
], ids=['data', 'batchsize', 'communicator', 'nccl'])
def test_a_mistake_that_every_process_meets_is_told_once(data, tmp_path, change, message):
    result = mpi.run(2, mpi.ROOT / 'train.py', *flags(data, tmp_path / 'out', **change))
    assert result.returncode != 0 and 'Traceback' not in result.stderr
    assert result.stderr.count(message) == 1, result.stderr


@pytest.mark.slow
@mpi.needs_mpiexec
def test_processes_end_together_if_another_run_writes_into_the_folder(data, tmp_path):
    out = tmp_path / 'out'
    with Lock(out):
        result = mpi.run(2, mpi.ROOT / 'train.py', *flags(data, out))
        assert [path.name for path in out.iterdir()] == ['.multibox-lock']
    assert result.returncode != 0 and 'Traceback' not in result.stderr
    assert result.stderr.count(f'train.py: {out}: process {os.getpid()} on ') == 1


@pytest.mark.slow
def test_a_killed_run_leaves_a_folder_that_can_be_resumed_without_its_litter(
        data, tmp_path, start):
    out = tmp_path / 'out'
    process = start(None, mpi.ROOT / 'train.py', *flags(data, out, iteration=1000))
    wait_for((out / 'snapshot_iter_5').exists, process)
    second = mpi.run(None, mpi.ROOT / 'train.py', '--out', out, '--resume', '--iteration', 7)
    assert second.returncode == 1 and f': process {process.pid} on ' in second.stderr
    process.kill()
    process.wait()
    (out / '.multibox-0123456789abcdef.part').touch()
    last = max(int(path.name.rpartition('_')[2]) for path in out.glob('snapshot_iter_*'))
    result = mpi.run(None, mpi.ROOT / 'train.py', '--out', out, '--resume', '--iteration',
                     last + 1)
    assert result.returncode == 0 and result.stderr == '', result
    assert not list(out.glob('.*'))


@pytest.mark.slow
@mpi.needs_mpiexec
def test_resuming_with_another_number_of_processes_says_so(uninterrupted):
    n, out = uninterrupted
    result = mpi.run(None if n else 2, mpi.ROOT / 'train.py', '--out', out, '--resume')
    assert result.returncode != 0
    assert f'had processes {n or 1}, not {1 if n else 2}' in result.stderr


def test_a_dead_loader_process_is_reported(data, tmp_path):
    result = mpi.run(None, FAULTY, 'dead loader', *flags(
        data, tmp_path / 'out', **{'loader-processes': 2}), timeout=60)
    assert result.returncode == 1 and 'Traceback' not in result.stderr
    assert 'a loader process died' in result.stderr


def test_a_full_disk_keeps_the_snapshot_before(data, tmp_path):
    out = tmp_path / 'out'
    result = mpi.run(None, FAULTY, 'full disk', *flags(data, out))
    assert result.returncode == 1 and 'Traceback' not in result.stderr, result.stderr
    assert 'snapshot_iter_10: cannot be written (File too large)' in result.stderr
    assert 'updater/iteration' in arrays(out / 'snapshot_iter_5')
    assert not list(out.glob('.*.part'))


@pytest.mark.slow
@mpi.needs_proc
@pytest.mark.parametrize('n', [None, pytest.param(2, marks=mpi.needs_mpiexec)])
def test_a_signal_to_all_processes_saves_while_the_loader_works(data, tmp_path, start, n):
    process = start(n, FAULTY, 'slow loader', *flags(
        data, tmp_path / 'out', **{'loader-processes': 2}))
    wait_for((tmp_path / 'out' / 'log').exists, process)
    for pid in mpi.descendants(process.pid) + ([process.pid] if n is None else []):
        os.kill(pid, signal.SIGTERM)  # as SLURM does
    code, output, errors = end_of(process, 30)
    assert code == 143 and 'by SIGTERM; --resume goes on' in output, (output, errors)
    assert 'Traceback' not in errors


@pytest.mark.slow
@mpi.needs_mpiexec
def test_an_interrupt_outside_of_training_ends_all(data, tmp_path, start):
    process = start(2, FAULTY, 'interrupt', *flags(data, tmp_path / 'out'))
    wait_for((tmp_path / 'out' / 'log').exists, process)
    code, output, errors = end_of(process, 10)
    assert code == 130 and errors.count('train.py: interrupted') == 1, (output, errors)


@mpi.needs_proc
def test_loader_processes_end_with_a_killed_parent(data, tmp_path, start):
    process = start(None, mpi.ROOT / 'train.py', *flags(
        data, tmp_path / 'out', **{'loader-processes': 2}))
    wait_for((tmp_path / 'out' / 'log').exists, process)
    workers = mpi.descendants(process.pid)
    assert len(workers) >= 3  # two loader processes and their server
    process.kill()
    process.communicate(timeout=10)  # returns when no process holds the output open
    end = time.monotonic() + 10
    while any(mpi.is_alive(pid) for pid in workers):
        assert time.monotonic() < end, 'loader processes outlive their parent'
        time.sleep(.05)
