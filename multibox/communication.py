"""The few exchanges between processes that the losses need; without a communicator, none.

Sums of arrays on GPUs go by NCCL where the communicator does, ``pure_nccl``, and nobody waits for
them. All else passes through the host, so MPI need not know of GPUs.
"""
import numpy as np
from chainer.backends import cuda


def sum_over_processes(x, comm=None):
    """Sum an array over all processes.

    Args:
        x: array of any shape, the same on every process.
        comm: a ChainerMN communicator, or None for a single process.

    Returns:
        array on the device of ``x``.
    """
    if comm is None:
        return x
    if hasattr(comm, 'nccl_comm') and not isinstance(x, np.ndarray):
        return _sum_on_gpus(x, comm)
    return cuda.get_array_module(x).asarray(comm.allreduce(cuda.to_cpu(x)))


def _sum_on_gpus(x, comm):
    from cupy.cuda import get_current_stream, nccl

    comm._init_comms()  # ChainerMN waits for the first exchange, when the device is chosen
    total = x.copy()
    comm.nccl_comm.allReduce(total.data.ptr, total.data.ptr, total.size,
                             getattr(nccl, f'NCCL_{x.dtype.name.upper()}'), nccl.NCCL_SUM,
                             get_current_stream().ptr)
    return total


def mean_over_processes(x, comm=None):
    """Mean of an array over all processes; arguments as above."""
    return x if comm is None else sum_over_processes(x, comm) / comm.size


def max_over_processes(x, comm=None):
    """Maximum of a 0-dimensional array over all processes; arguments as above."""
    if comm is None:
        return x
    xp = cuda.get_array_module(x)
    return xp.asarray(max(comm.mpi_comm.allgather(x.item())), x.dtype)


def count_among_largest(values, n, comm=None):
    """How many of the ``n`` largest values of all processes are this process's.

    Equal values count for the lower rank, as the lower index does on one process.

    Args:
        values: (M,) float array, M of each process's own; -inf never counts.
        n: number >= 0, the same on every process; a fraction counts as the next integer.
        comm: a ChainerMN communicator, or None for a single process.

    Returns:
        ``n`` itself without a communicator, otherwise an int.
    """
    if comm is None:
        return n
    n = int(np.ceil(float(n)))
    values = cuda.to_cpu(values)
    own = -np.sort(-values[values > -np.inf])[:n]
    everyones = comm.mpi_comm.allgather(own)
    rank = np.repeat(np.arange(comm.size), [len(part) for part in everyones])
    order = np.argsort(-np.concatenate(everyones), kind='stable')[:n]
    return int((rank[order] == comm.rank).sum())
