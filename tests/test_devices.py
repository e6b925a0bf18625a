"""The number of cores that a run uses, and the names of its hardware."""
import os

from multibox import devices, engines
from multibox.errors import UserError

import numpy as np
import pytest
import threadpoolctl


def threads(user_api):
    """Number of threads of NumPy's BLAS or of OpenMP.

    The largest number counts, because OpenCV brings a BLAS of its own with a single thread.
    """
    return max(library['num_threads'] for library in threadpoolctl.threadpool_info()
               if library['user_api'] == user_api)


@pytest.fixture(autouse=True)
def restore_threads():
    with threadpoolctl.threadpool_limits(2):
        yield


@pytest.mark.parametrize('n_core, expected', [(3, 2), (2, 1), (1, 1), (16, 2)],
                         ids=['two of three', 'one of two', 'the only one', 'a limit already set'])
def test_matrix_products_use_no_more_cores(n_core, expected):
    devices.use_cores(n_core - 1)
    assert threads('blas') == expected


def test_a_second_call_may_allow_more_cores():
    devices.use_cores(1)
    devices.use_cores(3)
    assert threads('blas') == 2


def test_convolutions_use_no_more_cores():
    if engines.fastest() != 'onednn':
        pytest.skip('oneDNN cannot be used on this machine')
    devices.use_cores(1)
    assert threads('openmp') == 1


def test_the_hardware_is_named(monkeypatch):
    monkeypatch.setattr(devices, 'available_cores', lambda: 3)
    device = devices.select_device('-1')
    assert devices.hardware(device) == f'{devices.processor()}, 3 cores, 1 process'
    assert devices.hardware(device, 4).endswith(', 4 processes') and devices.processor()


@pytest.mark.skipif(not hasattr(os, 'sched_getaffinity'), reason='no affinity on this system')
def test_only_cores_this_process_may_use_count(monkeypatch):
    monkeypatch.setattr(os, 'sched_getaffinity', lambda pid: {0, 5, 7})
    assert devices.available_cores() == 3


@pytest.mark.parametrize('name', ['cpu', 'CPU', '-1', '@numpy'])
def test_a_cpu_has_several_names(name):
    assert devices.select_device(name).xp is np and not devices.is_gpu(name)


@pytest.mark.parametrize('name, number', [
    ('cuda', 0), ('gpu', 0), ('GPU', 0), ('0', 0), ('cuda:1', 1), ('gpu:1', 1), ('1', 1),
    ('@cupy:1', 1)])
def test_a_gpu_has_several_names(name, number, monkeypatch):
    monkeypatch.setattr(devices.cuda, 'available', False)
    assert devices.is_gpu(name)
    with pytest.raises(UserError, match=f'--device @cupy:{number}: CuPy finds no GPU here'):
        devices.select_device(name)


@pytest.mark.parametrize('name', ['banana', 'cuda:x', '2x', 'cpu:0', '9' * 5000],
                         ids=lambda name: name[:6])
def test_an_unknown_device_lists_the_known_names(name):
    with pytest.raises(UserError, match=f'--device {name}: no such device; give cpu or -1; cuda, '):
        devices.select_device(name)
