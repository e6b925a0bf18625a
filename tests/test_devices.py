"""Cores: what a run takes, and what it leaves."""
import os

from multibox import devices

import pytest
import threadpoolctl


def blas_threads():
    """Of NumPy's BLAS; OpenCV brings one of its own with a single thread."""
    return max(library['num_threads'] for library in threadpoolctl.threadpool_info()
               if library['user_api'] == 'blas')


@pytest.fixture(autouse=True)
def restore_threads():
    with threadpoolctl.threadpool_limits(2, user_api='blas'):
        yield


@pytest.mark.parametrize('n_core, expected', [(3, 2), (2, 1), (1, 1), (16, 2)],
                         ids=['two of three', 'one of two', 'the only one', 'a limit already set'])
def test_matrix_products_leave_a_core_and_never_take_more(monkeypatch, n_core, expected):
    monkeypatch.setattr(devices, 'available_cores', lambda: n_core)
    devices.leave_a_core()
    assert blas_threads() == expected


@pytest.mark.skipif(not hasattr(os, 'sched_getaffinity'), reason='no affinity on this system')
def test_only_cores_this_process_may_use_count(monkeypatch):
    monkeypatch.setattr(os, 'sched_getaffinity', lambda pid: {0, 5, 7})
    assert devices.available_cores() == 3
