"""One process among many: joining the others under mpiexec, sharing the work, ending together."""
import contextlib
import json
import os
import sys
import time
import traceback

from multibox.devices import is_gpu
from multibox.errors import UserError

from chainer.backends import cuda

# Set for their processes by Open MPI's mpiexec, by MPICH's and Intel's, and by srun --mpi=pmix.
LAUNCHERS = 'OMPI_COMM_WORLD_SIZE', 'PMI_SIZE', 'PMIX_RANK'
COMMUNICATORS = 'naive', 'flat', 'non_cuda_aware', 'pure_nccl'
PATIENCE = 2  # seconds the other processes leave the first to tell an error all of them met


def join_processes(communicator=None, on_gpu=False):
    """Meet the other processes of the job; from then on only the first one prints.

    Args:
        communicator: one of :data:`COMMUNICATORS`, or None: pure_nccl on GPUs, naive on CPUs.
        on_gpu: whether the network is to be on GPUs.

    Returns:
        A ChainerMN communicator; None for a process on its own, which needs no MPI.

    Raises:
        UserError: mpi4py or NCCL is missing, or the communicator does not fit the device.
    """
    if not any(name in os.environ for name in LAUNCHERS):
        return None
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
        return None
    communicator = communicator or ('pure_nccl' if on_gpu else 'naive')
    if communicator != 'naive' and not on_gpu:
        raise UserError(f'--communicator {communicator} is for GPUs; use naive, or give --device 0')
    if communicator != 'naive' and not chainermn.nccl._available:  # all pack by its types
        raise UserError(f'--communicator {communicator}: CuPy finds no NCCL; install '
                        'requirements-cuda13.txt, or for CUDA 12 requirements-cuda12.txt; or use '
                        '--communicator naive with an MPI that knows of GPUs')
    comm = chainermn.create_communicator(communicator)
    if comm.rank > 0:
        sys.stdout = open(os.devnull, 'w')  # noqa: SIM115  for good: one process speaks for all
    return comm


def place(comm):
    """Rank of this process and number of all; (0, 1) for a process on its own."""
    return (0, 1) if comm is None else (comm.rank, comm.size)


def local_device(device, comm):
    """The device of this process: of several on GPUs, each has one by its place on its machine.

    Args:
        device: the name all processes were given.
        comm: a ChainerMN communicator, or None.

    Returns:
        ``device`` itself for a process on its own and on CPUs.

    Raises:
        UserError: the machine has fewer GPUs than processes.
    """
    if comm is None or not is_gpu(device):
        return device
    n_gpu = cuda.cupy.cuda.runtime.getDeviceCount() if cuda.available else 0
    if comm.intra_size > n_gpu:
        raise UserError(f'{comm.intra_size} processes on a machine where {n_gpu} GPUs are visible: '
                        'each needs one of its own, and to see all; start fewer, see '
                        'CUDA_VISIBLE_DEVICES, or use --device -1')
    return f'@cupy:{comm.intra_rank}'


def check_split(batchsize, comm):
    """Refuse a batch that the processes cannot share evenly.

    Raises:
        UserError: it says which batch sizes fit.
    """
    _, size = place(comm)
    below = batchsize // size * size
    if below != batchsize:
        fits = ' or '.join(str(n) for n in (below, below + size) if n)
        raise UserError(f'--batchsize {batchsize} is for all {size} processes together, which '
                        f'cannot share it evenly; {fits} can be')


def check_same(settings, comm):
    """Refuse processes that do not have the same settings and data.

    Args:
        settings: dict of what JSON can hold.
        comm: a ChainerMN communicator.

    Raises:
        UserError: it names what differs.
    """
    everyones = comm.mpi_comm.allgather(json.loads(json.dumps(settings, default=str)))
    for rank, theirs in enumerate(everyones):
        differ = [name for name in theirs if theirs[name] != everyones[0].get(name)]
        if differ:
            raise UserError(f'process {rank} differs from the first in {", ".join(differ)}; give '
                            'all machines the same arguments and the same data')


def make_multi_node(optimizer, comm):
    """ChainerMN's optimizer around an optimizer that is set up: gradients become their mean.

    All processes begin with the weights of the first. ChainerMN would spend the first update on
    that; here it is an update like any other, so a run has as many as on one process.

    Args:
        optimizer: a Chainer optimizer whose target has all its parameters.
        comm: a ChainerMN communicator, or None, which changes nothing.
    """
    if comm is None:
        return optimizer
    import chainermn
    for parameter in optimizer.target.params():  # pure_nccl's own fails on float16 under CuPy 14
        first = comm.bcast_obj(cuda.to_cpu(parameter.array) if comm.rank == 0 else None)
        parameter.array[...] = parameter.xp.asarray(first)
    optimizer = chainermn.create_multi_node_optimizer(optimizer, comm)
    optimizer.is_changed(optimizer.target)  # notes the parameters that were just sent
    return optimizer


@contextlib.contextmanager
def ending_together(program):
    """Turn an exception of any process into one message and the end of all of them.

    Args:
        program: what the message begins with.
    """
    sys.stdout.reconfigure(errors='backslashreplace')  # not every path or class can be printed
    try:
        yield
    except UserError as error:
        _end(f'{program}: {error}')
    except KeyboardInterrupt:
        _end(f'{program}: interrupted', 130)
    except Exception:
        _end(traceback.format_exc())


def _end(message, status=1):
    MPI = sys.modules.get('mpi4py.MPI')
    if MPI is None or MPI.COMM_WORLD.size == 1:
        print(message, file=sys.stderr, flush=True)
        sys.exit(status)
    time.sleep(PATIENCE if MPI.COMM_WORLD.rank else 0)  # the first ends the others meanwhile
    print(message, file=sys.stderr, flush=True)
    MPI.COMM_WORLD.Abort(status)
