"""Can a CUDA graph hold NCCL's exchanges? The answers, with a stand-in for CuPy."""
import types

from experiments.gpu import nccl_graph
from multibox.errors import UserError
from multibox.processes import ONE

import numpy as np
import pytest


class Stream:
    """Captures like a stream of CuPy. Its graph calls a function at every launch."""

    captured = None

    def __init__(self, non_blocking):
        assert non_blocking

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def synchronize(self):
        pass

    def begin_capture(self):
        Stream.captured = []

    def end_capture(self):
        calls, Stream.captured = Stream.captured, None
        return types.SimpleNamespace(launch=lambda: [call() for call in calls])


@pytest.fixture(autouse=True)
def fake_cupy(monkeypatch):
    cupy = types.SimpleNamespace(asarray=np.asarray, cuda=types.SimpleNamespace(
        Stream=Stream, Device=lambda: types.SimpleNamespace(synchronize=lambda: None)))
    monkeypatch.setattr(nccl_graph, 'cuda', types.SimpleNamespace(cupy=cupy, to_cpu=np.asarray))


def answer(add):
    """The answer for an exchange whose captured part ``add(x)`` changes the array x."""
    x = np.ones(3)

    def exchange():
        add(x) if Stream.captured is None else Stream.captured.append(lambda: add(x))
        return x
    return nccl_graph.captures(exchange, x, 2, 5)


def test_an_exchange_that_its_graph_repeats_is_held():
    assert answer(lambda x: np.add(x, 3, out=x)) == 'yes'


def test_a_graph_that_computes_another_number_does_not_count():
    assert answer(lambda x: np.add(x, 1, out=x)) == 'no: the graph computes 3.0, not 5'


def test_the_first_error_of_a_capture_is_told():
    def exchange():
        if Stream.captured is not None:
            raise RuntimeError('NCCL_ERROR_INVALID_USAGE')
    assert nccl_graph.captures(exchange, np.ones(3), 2, 5) == (
        'no: RuntimeError: NCCL_ERROR_INVALID_USAGE')
    assert Stream.captured is None  # the capture has ended


def test_the_program_has_to_be_started_by_mpiexec(monkeypatch):
    monkeypatch.setattr(nccl_graph, 'gpu_name', lambda: 'a GPU')
    monkeypatch.setattr(nccl_graph, 'join_processes', lambda *args, **options: ONE)
    with pytest.raises(UserError, match='start it with mpiexec: mpiexec -n 1'):
        nccl_graph.main()
