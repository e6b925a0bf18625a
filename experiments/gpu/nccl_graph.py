"""Can a CUDA graph hold the exchanges between the processes of a training step?

    mpiexec -n 1 python -m experiments.gpu.nccl_graph     one GPU, where NCCL has nothing to add
    mpiexec -n 2 python -m experiments.gpu.nccl_graph     two GPUs

Two exchanges by NCCL are captured, each on a stream of its own: the sum of an array, as of losses
and of numbers of positives, and ChainerMN's mean of the gradients. Each graph is replayed on other
numbers, after other copies to the GPU. The program prints ``yes``, or ``no`` with the error.
"""
import contextlib
from collections.abc import Callable, Iterator

from experiments.timing.gpu_clock import gpu_name
from experiments.timing.turns import describe_error
from multibox.devices import local_device, select_device
from multibox.errors import UserError, ending_together
from multibox.processes import OneProcess, join_processes
from multibox.typing import Array

import chainer
import numpy as np
from chainer.backends import cuda


def captures(exchange: Callable[[], Array], x: Array, before: float, after: float) -> str:
    """Capture an exchange, and replay it on other numbers.

    Args:
        exchange: function that exchanges ``x`` on the current stream and returns the result.
        x: an array on the GPU. The result may be the same array.
        before: the number that fills ``x`` before the replay.
        after: the number that fills the result then.

    Returns:
        ``'yes'``, or ``'no: '`` with the error.
    """
    cupy = cuda.cupy
    try:
        cupy.cuda.Device().synchronize()
        stream = cupy.cuda.Stream(non_blocking=True)
        with stream:
            for _ in range(2):
                exchange()  # connects, compiles, and leaves memory in the pool of the stream
            stream.synchronize()
            stream.begin_capture()
            try:
                result = exchange()
            except Exception:
                with contextlib.suppress(Exception):
                    stream.end_capture()
                raise
            graph = stream.end_capture()
            for _ in range(9):  # these copies reuse page-locked memory that the graph might read
                cupy.asarray(np.zeros(2))
            x.fill(before)
            graph.launch()
            stream.synchronize()
            found = cuda.to_cpu(result)
    except Exception as error:  # errors of CUDA and of NCCL have no common class
        return f'no: {describe_error(error, 500)}'
    return 'yes' if (found == after).all() else f'no: the graph computes {found[0]}, not {after}'


def exchanges(processes: OneProcess) -> Iterator[tuple[str, str]]:
    """Yield the name of each exchange, and whether a graph holds it, as of :func:`captures`."""
    xp, n = cuda.cupy, processes.size
    own, total = processes.rank + 2, n * (n - 1) / 2 + 2 * n
    x = xp.ones(1000, np.float32)
    yield 'sum of an array', captures(lambda: processes.sum(x), x, own, total)
    link = chainer.Link()
    with link.init_scope():
        link.W = chainer.Parameter(xp.ones(1000, np.float32))
    link.W.grad = xp.ones_like(link.W.array)

    def mean():  # ChainerMN's public method uses the default stream, which no graph can hold
        stream = xp.cuda.get_current_stream()
        processes.comm._multi_node_mean_grad_async(link, False, stream)
        return link.W.grad
    yield 'mean of gradients', captures(mean, link.W.grad, own, total / n)


def main() -> None:
    """Run the program.

    Raises:
        UserError: there is no GPU, no NCCL or no mpiexec.
    """
    gpu = gpu_name()
    processes = join_processes('pure_nccl', on_gpu=True)
    if processes.comm is None:
        raise UserError('start it with mpiexec: mpiexec -n 1 python -m experiments.gpu.nccl_graph')
    select_device(local_device('0', processes))
    print(f'{gpu}, processes: {processes.size}')
    for name, answer in exchanges(processes):
        print(f'a CUDA graph holds the {name}: {answer}', flush=True)


if __name__ == '__main__':
    with ending_together('experiments.gpu.nccl_graph'):
        main()
