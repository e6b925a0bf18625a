"""The processes of a run: a single one, or many that mpiexec started, behind one interface.

Arrays on GPUs are summed by NCCL if the communicator has it (``pure_nccl``), and the host does not
wait for the sum. All other exchanges pass through the host, so MPI need not support GPUs.
"""
import json
import os
import signal
import sys
from typing import Any

from multibox.errors import UserError
from multibox.typing import Array, Communicator

import numpy as np
from chainer.backends import cuda

# Environment variables set by the mpiexec of Open MPI, of MPICH and Intel, and by srun --mpi=pmix.
LAUNCHERS = 'OMPI_COMM_WORLD_SIZE', 'PMI_SIZE', 'PMIX_RANK'
COMMUNICATORS = 'naive', 'flat', 'non_cuda_aware', 'pure_nccl'
# Signals that end a run. mpiexec forwards SIGUSR1 to its processes; the others kill mpiexec.
SIGNALS = signal.SIGTERM, signal.SIGINT, signal.SIGUSR1


class OneProcess:
    """A single process, with the interface of :class:`ManyProcesses`.

    Attributes:
        comm: the ChainerMN communicator, or None.
        rank: number of this process, from 0.
        size: number of processes.
        local_rank, local_size: the same among the processes on this machine.
    """

    comm: Communicator = None
    rank, size = 0, 1
    local_rank, local_size = 0, 1

    @property
    def is_first(self) -> bool:
        """Whether this process writes and prints for all."""
        return self.rank == 0

    def sum(self, x: Array) -> Array:
        """Sum arrays of one shape over all processes; the result stays on the device of ``x``."""
        return x

    def mean(self, x: Array) -> Array:
        """Average arrays of one shape over all processes."""
        return x

    def max(self, x: Array) -> Array:
        """Maximum of a 0-dimensional array over all processes."""
        return x

    def all_gather(self, value: Any) -> list:
        """List the picklable values of all processes by rank; every process gets the list."""
        return [value]

    def gather(self, value: Any) -> list | None:
        """List the picklable values by rank on the first process; the other processes get None."""
        return [value]

    def broadcast(self, value: Any) -> Any:
        """The picklable value of the first process."""
        return value

    def wait(self) -> None:
        """Wait until every process has called this method."""


class ManyProcesses(OneProcess):
    """The processes of a ChainerMN communicator."""

    def __init__(self, comm: Communicator):
        self.comm = comm

    rank = property(lambda self: self.comm.rank)
    size = property(lambda self: self.comm.size)
    local_rank = property(lambda self: self.comm.intra_rank)
    local_size = property(lambda self: self.comm.intra_size)

    def sum(self, x):
        if hasattr(self.comm, 'nccl_comm') and not isinstance(x, np.ndarray):
            return self._sum_on_gpus(x)
        return cuda.get_array_module(x).asarray(self.comm.allreduce(cuda.to_cpu(x)))

    def _sum_on_gpus(self, x):
        from cupy.cuda import get_current_stream, nccl

        self.comm._init_comms()  # ChainerMN connects at the first exchange, when the device is set
        total = x.copy()
        dtype = getattr(nccl, f'NCCL_{x.dtype.name.upper()}')
        self.comm.nccl_comm.allReduce(total.data.ptr, total.data.ptr, total.size, dtype,
                                      nccl.NCCL_SUM, get_current_stream().ptr)
        return total

    def mean(self, x):
        return self.sum(x) / self.size

    def max(self, x):
        return cuda.get_array_module(x).asarray(max(self.all_gather(x.item())), x.dtype)

    def all_gather(self, value):
        return self.comm.mpi_comm.allgather(value)

    def gather(self, value):
        return self.comm.gather_obj(value)

    def broadcast(self, value):
        return self.comm.bcast_obj(value)

    def wait(self):
        self.comm.mpi_comm.barrier()


ONE = OneProcess()


def as_processes(comm: Communicator) -> OneProcess:
    """The processes of a ChainerMN communicator.

    Args:
        comm: a communicator, None for a single process, or a result of this function.

    Returns:
        :class:`ManyProcesses`, :data:`ONE` for None, or ``comm`` itself if it is such an object.
    """
    if comm is None:
        return ONE
    return comm if isinstance(comm, OneProcess) else ManyProcesses(comm)


def join_processes(communicator: str | None = None, on_gpu: bool = False) -> OneProcess:
    """Meet the other processes of the job; from then on only the first process prints.

    Args:
        communicator: one of :data:`COMMUNICATORS`; None means pure_nccl on GPUs, naive on CPUs.
        on_gpu: whether the network will be on GPUs.

    Returns:
        :class:`ManyProcesses`; :data:`ONE` for a single process. A single process that mpiexec
        started also exchanges its gradients, with itself, if a communicator is given, or on a GPU
        if CuPy finds NCCL.

    Raises:
        UserError: mpi4py or NCCL is missing, mpi4py belongs to another MPI than mpiexec, or the
            communicator does not fit the device.
    """
    if not any(name in os.environ for name in LAUNCHERS):
        return ONE
    try:
        import chainermn.nccl
        import mpi4py.MPI
    except ImportError as error:
        raise UserError(f'several processes need mpi4py, which cannot be imported ({error}); run '
                        'make setup, or install mpi4py for the MPI of this mpiexec') from None
    if mpi4py.MPI.COMM_WORLD.size == 1:
        if any(int(os.environ.get(name, 1)) > 1 for name in ('OMPI_COMM_WORLD_SIZE', 'PMI_SIZE')):
            raise UserError('mpi4py belongs to another MPI than this mpiexec, so every process '
                            'finds itself alone; use the mpiexec beside this Python')
        by_mpiexec = any(name in os.environ for name in LAUNCHERS[:2])  # srun alone sets the last
        if communicator is None and not (on_gpu and by_mpiexec and chainermn.nccl._available):
            return ONE
    communicator = communicator or ('pure_nccl' if on_gpu else 'naive')
    if communicator != 'naive' and not on_gpu:
        raise UserError(f'--communicator {communicator} is for GPUs; use naive, or give --device 0')
    if communicator != 'naive' and not chainermn.nccl._available:  # they use NCCL's types
        raise UserError(f'--communicator {communicator}: CuPy finds no NCCL; install '
                        'requirements-cuda13.txt (without a checkout: pip install '
                        '"multibox[cuda13]"), or for CUDA 12 the same with cuda12; or use '
                        '--communicator naive with an MPI that supports GPUs')
    processes = ManyProcesses(chainermn.create_communicator(communicator))
    if not processes.is_first:
        sys.stdout = open(os.devnull, 'w')  # noqa: SIM115  until the process ends
    return processes


def check_split(batchsize: int, processes: OneProcess) -> None:
    """Refuse a batch that the processes cannot share evenly.

    Args:
        batchsize: number of images per batch, over all processes.
        processes: the processes of the run.

    Raises:
        UserError: the message says which batch sizes fit.
    """
    size = processes.size
    below = batchsize // size * size
    if below != batchsize:
        fits = ' or '.join(str(n) for n in (below, below + size) if n)
        raise UserError(f'--batchsize {batchsize} is for all {size} processes together, which '
                        f'cannot share it evenly; {fits} can be shared')


def check_same(settings: dict, processes: OneProcess) -> None:
    """Refuse processes whose settings or data differ.

    Args:
        settings: dict of values that JSON can hold.
        processes: the processes of the run.

    Raises:
        UserError: the message names the settings that differ.
    """
    all_settings = processes.all_gather(json.loads(json.dumps(settings, default=str)))
    for rank, other in enumerate(all_settings):
        differ = [name for name in other if other[name] != all_settings[0].get(name)]
        if differ:
            raise UserError(f'process {rank} differs from the first in {", ".join(differ)}; give '
                            'all machines the same arguments and the same data')
