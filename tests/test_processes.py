"""Several processes: joining them, sharing work between them, and sums over them."""
import builtins
import math
import signal
import sys
import types

from multibox import devices, processes
from multibox.devices import local_device
from multibox.errors import UserError
from multibox.losses.mining import count_among_largest
from multibox.processes import ONE, as_processes, check_same, check_split, join_processes
from multibox.training import Stop, make_multi_node, share_batch_statistics
from tests.support import mpi
from tests.support.loss_cases import FakeCommunicator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st


@pytest.fixture
def alone(monkeypatch):
    for name in processes.LAUNCHERS:
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def no_mpi4py(monkeypatch):
    load = builtins.__import__

    def refuse(name, *args, **kwargs):
        if name.startswith('mpi4py'):
            raise ImportError('no module of that name')
        return load(name, *args, **kwargs)
    monkeypatch.setattr(builtins, '__import__', refuse)


def test_a_process_on_its_own_needs_no_mpi(alone, no_mpi4py):
    assert join_processes() is ONE
    assert make_multi_node('optimizer', ONE) == 'optimizer'
    assert share_batch_statistics('model', ONE) is None


def test_a_missing_mpi4py_is_named_under_mpiexec(no_mpi4py, monkeypatch):
    monkeypatch.setenv('OMPI_COMM_WORLD_SIZE', '2')
    with pytest.raises(UserError, match=r'need mpi4py, which cannot be imported .*make setup'):
        join_processes()


@mpi.needs_mpiexec
@pytest.mark.parametrize('name', ['OMPI_COMM_WORLD_SIZE', 'PMI_SIZE'])
def test_an_mpi4py_of_another_mpi_is_named(monkeypatch, tmp_path, name):
    monkeypatch.setenv(name, '2')  # although the process is alone
    result = mpi.run(None, mpi.ROOT / 'train.py', '--out', tmp_path / 'out')
    assert result.returncode == 1 and 'Traceback' not in result.stderr
    assert 'train.py: mpi4py belongs to another MPI than this mpiexec' in result.stderr


@pytest.fixture
def only_one(monkeypatch):
    """Pretend that mpiexec started this process alone, with or without NCCL."""
    monkeypatch.setenv('OMPI_COMM_WORLD_SIZE', '1')
    mpi4py = types.SimpleNamespace(COMM_WORLD=types.SimpleNamespace(size=1))
    monkeypatch.setitem(sys.modules, 'mpi4py', types.SimpleNamespace(MPI=mpi4py))
    monkeypatch.setitem(sys.modules, 'mpi4py.MPI', mpi4py)

    def set_up(has_nccl):
        chainermn = types.SimpleNamespace(
            nccl=types.SimpleNamespace(_available=has_nccl),
            create_communicator=lambda name: types.SimpleNamespace(rank=0, size=1, name=name))
        monkeypatch.setitem(sys.modules, 'chainermn', chainermn)
        monkeypatch.setitem(sys.modules, 'chainermn.nccl', chainermn.nccl)
    return set_up


@pytest.mark.parametrize('communicator, on_gpu, has_nccl, made', [
    (None, True, True, 'pure_nccl'), (None, True, False, None), (None, False, True, None),
    ('naive', False, False, 'naive'), ('naive', True, False, 'naive'),
    ('flat', True, True, 'flat')])
def test_one_process_under_mpiexec_exchanges_on_a_gpu_or_if_told_to(
        only_one, communicator, on_gpu, has_nccl, made):
    only_one(has_nccl)
    comm = join_processes(communicator, on_gpu).comm
    assert getattr(comm, 'name', None) == made


def test_one_process_without_mpiexec_exchanges_nothing(only_one, alone):
    only_one(has_nccl=True)
    assert join_processes('pure_nccl', on_gpu=True) is ONE


def test_one_process_with_a_communicator_that_has_no_nccl_is_refused(only_one):
    only_one(has_nccl=False)
    with pytest.raises(UserError, match='--communicator pure_nccl: CuPy finds no NCCL'):
        join_processes('pure_nccl', on_gpu=True)


def pretend_gpus(monkeypatch, n_gpu):
    runtime = types.SimpleNamespace(getDeviceCount=lambda: n_gpu)
    cupy = types.SimpleNamespace(cuda=types.SimpleNamespace(runtime=runtime))
    monkeypatch.setattr(devices, 'cuda', types.SimpleNamespace(available=n_gpu > 0, cupy=cupy))


def test_each_process_of_a_machine_has_a_gpu_of_its_own(monkeypatch):
    pretend_gpus(monkeypatch, n_gpu=4)
    comm = as_processes(types.SimpleNamespace(intra_rank=2, intra_size=4))
    assert local_device('0', comm) == local_device('@cupy:0', comm) == '@cupy:2'
    assert local_device('-1', comm) == '-1' and local_device('0', ONE) == '0'


def test_the_only_process_of_a_machine_has_the_gpu_that_is_named(monkeypatch):
    pretend_gpus(monkeypatch, n_gpu=4)
    comm = as_processes(types.SimpleNamespace(intra_rank=0, intra_size=1))
    assert local_device('cuda:1', comm) == 'cuda:1'


@pytest.mark.parametrize('name', ['cuda', 'gpu', 'cuda:1', 'gpu:3'])
def test_any_name_of_a_gpu_stands_for_one_per_process(monkeypatch, name):
    pretend_gpus(monkeypatch, n_gpu=4)
    comm = as_processes(types.SimpleNamespace(intra_rank=2, intra_size=4))
    assert local_device(name, comm) == '@cupy:2' and local_device('cpu', comm) == 'cpu'


@pytest.mark.parametrize('n_gpu', [0, 1])
def test_too_few_gpus_are_counted(monkeypatch, n_gpu):
    pretend_gpus(monkeypatch, n_gpu)
    with pytest.raises(UserError, match=f'2 processes on a machine where {n_gpu} GPUs are visible'):
        local_device('0', as_processes(types.SimpleNamespace(intra_rank=0, intra_size=2)))


@pytest.mark.parametrize('batchsize, size, fits', [
    (32, 3, '30 or 33'), (2, 4, '4'), (5, 2, '4 or 6')])
def test_a_batch_that_cannot_be_shared_evenly_is_refused(batchsize, size, fits):
    with pytest.raises(UserError, match=f'--batchsize {batchsize} .* evenly; {fits} can be'):
        check_split(batchsize, as_processes(types.SimpleNamespace(rank=0, size=size)))


@pytest.mark.parametrize('batchsize, comm', [
    (32, None), (32, types.SimpleNamespace(rank=1, size=4)),
    (3, types.SimpleNamespace(rank=2, size=3))])
def test_a_batch_that_can_be_shared_evenly_is_accepted(batchsize, comm):
    check_split(batchsize, as_processes(comm))


def trainer_at(iteration):
    return types.SimpleNamespace(updater=types.SimpleNamespace(iteration=iteration))


@pytest.mark.parametrize('number', [signal.SIGTERM, signal.SIGINT, signal.SIGUSR1])
def test_a_run_stops_at_its_end_or_at_a_signal(number):
    stop = Stop(10)
    before = signal.getsignal(number)
    with stop:
        assert not stop(trainer_at(9)) and stop(trainer_at(10)) and stop.signal == 0
        signal.raise_signal(number)
        assert stop(trainer_at(3)) and stop.signal == number
        assert signal.getsignal(number) == before  # a second signal is not caught
    assert signal.getsignal(number) == before


def test_a_signal_during_the_exchange_counts_at_the_next_one():
    stop = Stop(10)

    def allgather(own):
        if not stop.signal and not own:
            signal.raise_signal(signal.SIGTERM)
        return [own]
    stop.processes = as_processes(types.SimpleNamespace(
        mpi_comm=types.SimpleNamespace(allgather=allgather)))
    with stop:
        assert not stop(trainer_at(3))  # the exchange did not include the signal
        assert stop(trainer_at(4)) and stop.signal == signal.SIGTERM


def test_processes_with_other_data_are_named():
    comm = types.SimpleNamespace(mpi_comm=types.SimpleNamespace(
        allgather=lambda own: [own, {**own, 'images': 9, 'annotations': 7}]))
    with pytest.raises(UserError, match='process 1 differs from the first in images, annotations'):
        check_same({'images': 6, 'annotations': 5, 'lr': .1}, as_processes(comm))


def test_processes_of_a_machine_share_its_cores(monkeypatch):
    monkeypatch.setattr(devices.os, 'sched_getaffinity', lambda pid: range(8), raising=False)
    for name in ('OMPI_COMM_WORLD_LOCAL_SIZE', 'MPI_LOCALNRANKS'):
        monkeypatch.delenv(name, raising=False)
    assert devices.available_cores() == 8
    monkeypatch.setenv('OMPI_COMM_WORLD_LOCAL_SIZE', '3')
    assert devices.available_cores() == 2
    monkeypatch.setenv('OMPI_COMM_WORLD_LOCAL_SIZE', '99')
    assert devices.available_cores() == 1


def test_a_signal_of_one_process_stops_all():
    others = types.SimpleNamespace(mpi_comm=types.SimpleNamespace(
        allgather=lambda own: [own, int(signal.SIGTERM)]))
    stop = Stop(10, as_processes(others))
    assert stop(trainer_at(3)) and stop.signal == signal.SIGTERM


@settings(deadline=None, max_examples=100)
@given(st.integers(1, 4), st.integers(0, 24).map(lambda n: n / 2), st.integers(0, 2 ** 31))
def test_the_largest_of_all_processes_are_counted_for_each(size, n, seed):
    rng = np.random.RandomState(seed)
    parts = [rng.randint(0, 4, rng.randint(0, 40)).astype('f') for _ in range(size)]  # many ties
    for part in parts:
        part[rng.uniform(size=len(part)) < .2] = -np.inf
    ranked = sorted((-value, rank, i) for rank, part in enumerate(parts)
                    for i, value in enumerate(part) if value > -np.inf)[:math.ceil(n)]
    shares = [-np.sort(-part[part > -np.inf]) for part in parts]
    for rank, part in enumerate(parts):
        comm = types.SimpleNamespace(rank=rank, size=size, mpi_comm=types.SimpleNamespace(
            allgather=lambda own, rank=rank: [*shares[:rank], own, *shares[rank + 1:]]))
        assert count_among_largest(part, n, as_processes(comm)) == sum(
            r == rank for _, r, _ in ranked)


class OnGPU:
    """The attributes of a CuPy array that NCCL reads. The address is the object itself."""

    def __init__(self, values):
        self.values, self.dtype, self.size = values, values.dtype, values.size
        self.data = types.SimpleNamespace(ptr=self)

    def copy(self):
        return OnGPU(self.values.copy())


class FakeNccl(FakeCommunicator):
    """Connects when it is first used, as ChainerMN's communicator does."""

    nccl_comm = None

    def _init_comms(self):
        self.nccl_comm = self

    def allReduce(self, sent, received, n, dtype, operation, stream):
        assert (n, dtype, operation, stream) == (sent.size, sent.dtype.name, 'sum', 'this stream')
        received.values += self.n_other


@pytest.mark.parametrize('dtype', ['float32', 'int64'])
def test_nccl_sums_where_the_array_is(monkeypatch, dtype):
    api = types.SimpleNamespace(
        get_current_stream=lambda: types.SimpleNamespace(ptr='this stream'),
        nccl=types.SimpleNamespace(NCCL_FLOAT32='float32', NCCL_INT64='int64', NCCL_SUM='sum'))
    monkeypatch.setitem(sys.modules, 'cupy', types.SimpleNamespace(cuda=api))
    monkeypatch.setitem(sys.modules, 'cupy.cuda', api)
    x = OnGPU(np.arange(3, dtype=dtype))
    assert as_processes(FakeNccl(5)).sum(x).values.tolist() == [5, 6, 7]
    assert x.values.tolist() == [0, 1, 2]


def test_arrays_on_the_host_are_summed_by_mpi():
    assert as_processes(FakeNccl(5)).sum(np.arange(3)).tolist() == [5, 6, 7]


@pytest.mark.parametrize('other', [1., 3.])
def test_the_maximum_is_that_of_all_processes(other):
    comm = types.SimpleNamespace(mpi_comm=types.SimpleNamespace(allgather=lambda own: [own, other]))
    maximum = as_processes(comm).max(np.array(2, 'f'))
    assert maximum.dtype == np.float32 and maximum == max(2, other)
