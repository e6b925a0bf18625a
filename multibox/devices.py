"""The device a run uses, and the cores it leaves to others."""
import os
import platform
from pathlib import Path

from multibox.errors import UserError

import chainer
import numpy as np
import threadpoolctl
from chainer.backends import cuda


def is_gpu(name):
    """Whether a device's name is that of a GPU: 0, 1, ..., or '@cupy:0'."""
    return name.isdigit() or name.startswith('@cupy')


def select_device(name):
    """Find a device and make it the current one.

    Args:
        name: -1 or '@numpy' for the CPU, a GPU's number such as 0, or '@cupy:0'.

    Returns:
        A ``chainer.backend.Device``.

    Raises:
        UserError: not a device, no CuPy, or no such GPU.
    """
    name = {'-1': '@numpy'}.get(name, f'@cupy:{name}' if name.isdigit() else name)
    if name.startswith('@cupy') and not cuda.available:
        raise UserError(f'--device {name}: CuPy finds no GPU here ({_reason()}); use --device -1, '
                        'or see "GPUs" in the README')
    try:
        device = chainer.get_device(name)
        device.use()
    except Exception as error:  # CUDA's own errors have no common class
        raise UserError(f'--device {name}: {error}; give -1, 0, @numpy or @cupy:0') from None
    return device


def hardware(device, n_process=1):
    """Name what a run computes on.

    Args:
        device: a ``chainer.backend.Device``.
        n_process: processes that share the run.

    Returns:
        str, such as 'AMD EPYC 9B45, 2 cores, 1 process'.
    """
    if device.xp is np:
        each = ' each' if n_process > 1 else ''
        name = f'{processor()}, {available_cores()} cores{each}'
    else:
        name = cuda.cupy.cuda.runtime.getDeviceProperties(device.device.id)['name'].decode()
    return f'{name}, {n_process} process{"es" if n_process > 1 else ""}'


def processor():
    """The name of this machine's processor, a str."""
    cpuinfo = Path('/proc/cpuinfo')  # platform.processor() is empty on many Linuxes
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    names = [line.partition(':')[2].strip() for line in lines if line.startswith('model name')]
    return names[0] if names else platform.processor() or platform.machine()


def available_cores():
    """Number of cores for this process: a container or taskset can make them few, and mpiexec's
    other processes on this machine share them. (Start it with ``--bind-to none``: cores that are
    this process's alone would be divided once more.)"""
    if hasattr(os, 'sched_getaffinity'):
        n_core = len(os.sched_getaffinity(0))
    else:
        n_core = os.cpu_count() or 1
    # Open MPI's count of them, and that of MPICH and Intel MPI.
    n_process = os.environ.get('OMPI_COMM_WORLD_LOCAL_SIZE') or os.environ.get('MPI_LOCALNRANKS')
    return max(1, n_core // int(n_process or 1))


def use_cores(n):
    """Have matrix products and convolutions use ``n`` cores at most, in this process from now on.

    The threads of OpenBLAS wait for each other by spinning: with one more busy process than cores
    a product was measured 20 times slower (2 cores, 64 x 576 by 576 x 1444).

    Args:
        n: cores to use; less than 1 counts as 1.
    """
    for library in threadpoolctl.ThreadpoolController().lib_controllers:
        library.set_num_threads(max(1, min(n, library.num_threads)))  # a user's own limit stands


def _reason():
    try:
        import cupy
        cupy.cuda.runtime.getDeviceCount()
    except Exception as error:
        return error
    return 'no reason given'
