"""The device of a run, the hardware it computes on, and the cores it leaves to others."""
import os
import platform
import re
from pathlib import Path
from typing import Any

from multibox.errors import UserError
from multibox.processes import ONE, OneProcess

import chainer
import numpy as np
import threadpoolctl
from chainer.backends import cuda

DEVICES = ('cpu or -1; cuda, gpu or 0 for the first GPU; cuda:1, gpu:1 or 1 for the second; or '
           "Chainer's names @numpy and @cupy:1")


def is_gpu(name: str) -> bool:
    """Whether a device name stands for a GPU: cuda, gpu, cuda:1, gpu:1, 1, or '@cupy:1'."""
    return _in_chainer(name).startswith('@cupy')


def _in_chainer(name):
    """Chainer's name of a device; a name that this function does not know is returned as it is."""
    if name.lower() in ('cpu', '-1'):
        return '@numpy'
    if gpu := re.fullmatch(r'(?:cuda|gpu)(?::(\d{1,9}))?|(\d{1,9})', name.lower()):
        return f'@cupy:{int(gpu[1] or gpu[2] or 0)}'
    return name


def local_device(name: str, processes: OneProcess = ONE) -> str:
    """The device of this process. Several processes on GPUs get one GPU each, by local rank.

    Args:
        name: the device name that all processes were given.
        processes: the processes of the run.

    Returns:
        ``name`` itself for the only process of a machine and for CPUs, else '@cupy:N' with the
        local rank N.

    Raises:
        UserError: the machine has fewer GPUs than processes.
    """
    if processes.local_size == 1 or not is_gpu(name):
        return name
    n_gpu = cuda.cupy.cuda.runtime.getDeviceCount() if cuda.available else 0
    if processes.local_size > n_gpu:
        raise UserError(
            f'{processes.local_size} processes on a machine where {n_gpu} GPUs are visible: each '
            'process needs a GPU of its own, and has to see all of them; start fewer processes, '
            'make more GPUs visible (CUDA_VISIBLE_DEVICES), or use --device cpu')
    return f'@cupy:{processes.local_rank}'


def select_device(name: str) -> Any:
    """Find a device and make it the current one.

    Args:
        name: cpu, -1 or '@numpy' for the CPU; for the second GPU cuda:1, gpu:1, 1 or '@cupy:1';
            cuda or gpu for the first one.

    Returns:
        A ``chainer.backend.Device``.

    Raises:
        UserError: the name is no device, CuPy is missing, or there is no such GPU.
    """
    name = _in_chainer(name)
    if name.startswith('@cupy') and not cuda.available:
        raise UserError(f'--device {name}: CuPy finds no GPU here ({_reason()}); use --device '
                        'cpu, or see docs/gpu.md')
    try:
        device = chainer.get_device(name)
    except Exception:  # Chainer's message is about devices of ChainerX
        raise UserError(f'--device {name}: no such device; give {DEVICES}') from None
    try:
        device.use()
    except Exception as error:  # CUDA's errors have no common base class
        raise UserError(f'--device {name}: {error}; give {DEVICES}') from None
    return device


def hardware(device: Any, n_process: int = 1) -> str:
    """Name the hardware of a run.

    Args:
        device: a ``chainer.backend.Device``.
        n_process: number of processes that share the run.

    Returns:
        str, such as 'AMD EPYC 9B45, 2 cores, 1 process'.
    """
    if device.xp is np:
        each = ' each' if n_process > 1 else ''
        name = f'{processor()}, {available_cores()} cores{each}'
    else:
        name = cuda.cupy.cuda.runtime.getDeviceProperties(device.device.id)['name'].decode()
    return f'{name}, {n_process} process{"es" if n_process > 1 else ""}'


def processor() -> str:
    """The name of the processor of this machine."""
    cpuinfo = Path('/proc/cpuinfo')  # platform.processor() is empty on many Linux systems
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    names = [line.partition(':')[2].strip() for line in lines if line.startswith('model name')]
    return names[0] if names else platform.processor() or platform.machine()


_limits: dict[str, tuple] = {}  # threads per library: the user's limit, the last of use_cores


def available_cores() -> int:
    """Number of cores for this process, at least 1.

    A container or taskset can restrict the cores. The processes that mpiexec started on the machine
    share these evenly. Start mpiexec with ``--bind-to none``: a bound process sees only its own
    cores, and this function would divide them once more.
    """
    if hasattr(os, 'sched_getaffinity'):
        n_core = len(os.sched_getaffinity(0))
    else:
        n_core = os.cpu_count() or 1
    # The process count of Open MPI, and that of MPICH and Intel MPI.
    n_process = os.environ.get('OMPI_COMM_WORLD_LOCAL_SIZE') or os.environ.get('MPI_LOCALNRANKS')
    return max(1, n_core // int(n_process or 1))


def use_cores(n: int) -> None:
    """Let matrix products and convolutions of this process use at most ``n`` cores from now on.

    The threads of OpenBLAS spin while they wait for each other. With one more busy process than
    cores, a product of (64, 576) and (576, 1444) was 20 times slower on 2 cores.

    Args:
        n: cores to use; a number below 1 counts as 1.
    """
    for library in threadpoolctl.ThreadpoolController().lib_controllers:
        limit, ours = _limits.get(library.filepath, (0, 0))
        if library.num_threads != ours:  # another number than this function set
            limit = library.num_threads
        ours = max(1, min(n, limit))
        library.set_num_threads(ours)
        _limits[library.filepath] = limit, ours


def _reason():
    try:
        import cupy
        cupy.cuda.runtime.getDeviceCount()
    except Exception as error:
        return error
    return 'no reason given'
