"""Sums over processes: by NCCL on GPUs, and through the host."""
import sys
import types

from multibox import communication

import numpy as np
import pytest
from test_multibox_loss import FakeCommunicator


class OnGPU:
    """As much of a CuPy array as NCCL is told of; its address is itself."""

    def __init__(self, values):
        self.values, self.dtype, self.size = values, values.dtype, values.size
        self.data = types.SimpleNamespace(ptr=self)

    def copy(self):
        return OnGPU(self.values.copy())


class FakeNccl(FakeCommunicator):
    """Begins, as ChainerMN's, without the connection."""

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
    assert communication.sum_over_processes(x, FakeNccl(5)).values.tolist() == [5, 6, 7]
    assert x.values.tolist() == [0, 1, 2]


def test_what_is_on_the_host_goes_by_mpi():
    assert communication.sum_over_processes(np.arange(3), FakeNccl(5)).tolist() == [5, 6, 7]


@pytest.mark.parametrize('other', [1., 3.])
def test_the_maximum_is_that_of_all_processes(other):
    comm = types.SimpleNamespace(mpi_comm=types.SimpleNamespace(allgather=lambda own: [own, other]))
    maximum = communication.max_over_processes(np.array(2, 'f'), comm)
    assert maximum.dtype == np.float32 and maximum == max(2, other)
