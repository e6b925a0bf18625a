"""train.py as the only process of mpiexec exchanges with itself, and ends as without mpiexec."""
import importlib.util

from tests.support import mpi
from tests.support.logs import log_without_time

import numpy as np
import pytest


def train_both(data, folder, *flags, only_with=()):
    """Train three iterations without mpiexec, and as its only process.

    Returns:
        Both folders, and all that the second run printed.
    """
    outs = folder / 'without', folder / 'with'
    for n, out, more in zip((None, 1), outs, ((), only_with)):
        result = mpi.run(n, mpi.ROOT / 'train.py', *map(str, (
            '--data', data, '--out', out, '--model', 'slim300', '--batchsize', 2, '--iteration', 3,
            '--eval-interval', 3, '--log-interval', 1, '--snapshot-interval', 3,
            '--loader-processes', 0, '--optimizer', 'momentum_sgd', '--lr', 1e-3, *flags, *more)))
        assert result.returncode == 0, result.stderr
    return *outs, result.stdout + result.stderr


def losses(out):
    """The losses of the batches, which come before the evaluation."""
    return [[value for key, value in entry.items() if key.startswith('main/')]
            for entry in log_without_time(out)]


def assert_equal_to_the_bit(out, other):
    """Compare losses, weights and momenta.

    The running statistics of normalisations are rounded otherwise where processes share a batch.
    """
    assert losses(out) == losses(other)
    with np.load(out / 'snapshot_iter_3') as ours, np.load(other / 'snapshot_iter_3') as theirs:
        names = [name for name in ours if name.startswith('updater/')]
        assert any('optimizer' in name for name in names) and {*ours} == {*theirs}
        for name in names:
            compare = (np.testing.assert_allclose if '/avg_' in name
                       else np.testing.assert_array_equal)
            compare(ours[name], theirs[name], err_msg=name, **(
                {'rtol': 1e-4, 'atol': 1e-6} if '/avg_' in name else {}))


@pytest.mark.slow
@mpi.needs_mpiexec
def test_one_process_with_a_communicator_trains_as_without_mpiexec(data, tmp_path):
    without, alone, _ = train_both(data, tmp_path, only_with=('--communicator', 'naive'))
    assert_equal_to_the_bit(without, alone)


@pytest.mark.gpu
@mpi.needs_mpiexec
@pytest.mark.skipif(importlib.util.find_spec('mpi4py') is None, reason='mpi4py is not installed')
@pytest.mark.parametrize('precision', ['float32', 'float16'])
def test_one_process_on_a_gpu_trains_through_nccl_as_without_mpiexec(
        gpu, data, tmp_path, precision, monkeypatch):
    if not pytest.importorskip('cupy.cuda.nccl').available:
        pytest.skip('CuPy finds no NCCL')
    monkeypatch.setenv('NCCL_DEBUG', 'VERSION')  # NCCL tells its version when it connects
    without, alone, said = train_both(data, tmp_path, '--device', '0', '--precision', precision)
    assert 'NCCL version' in said
    if precision == 'float32':
        assert_equal_to_the_bit(without, alone)
    else:
        np.testing.assert_allclose(losses(alone), losses(without), rtol=1e-2)


@pytest.mark.gpu
@mpi.needs_mpiexec
@pytest.mark.skipif(importlib.util.find_spec('mpi4py') is None, reason='mpi4py is not installed')
def test_the_program_tells_whether_a_cuda_graph_holds_the_exchanges(gpu):
    if not pytest.importorskip('cupy.cuda.nccl').available:
        pytest.skip('CuPy finds no NCCL')
    result = mpi.run(1, '-m', 'experiments.gpu.nccl_graph')
    print(result.stdout)  # pytest -rP shows the answers
    assert result.returncode == 0, result.stderr
    for name in 'sum of an array', 'mean of gradients':
        assert f'a CUDA graph holds the {name}: ' in result.stdout
