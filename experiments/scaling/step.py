"""Under mpiexec: seconds of a training step, and what of it is exchange between processes.

Started by experiments.scaling.measure; the first process prints one JSON line.
"""
import argparse
import json
import time

from multibox import convolution
from multibox.detectors import MODELS, make_detector
from multibox.devices import available_cores, is_gpu, select_device, use_cores
from multibox.training import (
    COMMUNICATORS,
    TrainChain,
    join_processes,
    local_device,
    make_optimizer,
    place,
    share_batch_statistics,
)

import chainer
import numpy as np


class Timed:
    """A communicator that adds up the seconds and the bytes of what it exchanges."""

    def __init__(self, comm):
        self.comm, self.seconds, self.bytes = comm, 0., 0

    def __getattr__(self, name):
        return getattr(self.comm, name)

    def multi_node_mean_grad(self, model, *args):
        self._timed(self.comm.multi_node_mean_grad, model, *args)
        self.bytes += sum(parameter.grad.nbytes for parameter in model.params())

    def allreduce(self, x):
        self.bytes += x.nbytes
        return self._timed(self.comm.allreduce, x)

    def _timed(self, exchange, *args):
        begin = now()
        result = exchange(*args)
        self.seconds += now() - begin
        return result


def now():
    """Seconds, once what was asked of a GPU is done."""
    if chainer.backends.cuda.available:
        chainer.backends.cuda.Stream.null.synchronize()
    return time.perf_counter()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--model', choices=sorted(MODELS), default='slim300')
    parser.add_argument('--batchsize', type=int, default=8, help='images of one process (8)')
    parser.add_argument('--iterations', type=int, default=10)
    parser.add_argument('--device', default='-1')
    parser.add_argument('--communicator', choices=COMMUNICATORS)
    parser.add_argument('--double-buffering', action='store_true')
    args = parser.parse_args()
    comm = join_processes(args.communicator, is_gpu(args.device))
    device = select_device(local_device(args.device, comm))
    convolution.install()
    convolution.keep_freed_memory()
    use_cores(available_cores() - 1)
    np.random.seed(0)
    model = make_detector(args.model, 20)
    if comm is not None and not args.double_buffering:
        comm = Timed(comm)
    share_batch_statistics(model, comm)
    chain = TrainChain(model, comm=comm)
    chain.to_device(device)
    optimizer = make_optimizer('momentum_sgd', chain, 1e-6, 5e-4)
    if comm is not None:
        import chainermn
        optimizer = chainermn.create_multi_node_optimizer(
            optimizer, comm, double_buffering=args.double_buffering)
    K = len(model.coder.default_bbox)
    batch = [device.send(x) for x in (
        np.random.normal(size=(args.batchsize, 3, model.insize, model.insize)).astype('f'),
        np.random.normal(size=(args.batchsize, K, 4)).astype('f'),
        (np.random.uniform(size=(args.batchsize, K)) < .005).astype('i'))]
    for _ in range(2):  # the first update of ChainerMN is another, the second is warm
        optimizer.update(chain, *batch)
    timed = comm if isinstance(comm, Timed) else None
    if timed:
        timed.seconds = timed.bytes = 0
    begin = now()
    for _ in range(args.iterations):
        optimizer.update(chain, *batch)
    seconds = (now() - begin) / args.iterations
    rank, n = place(comm)
    if rank == 0:
        print(json.dumps({
            'processes': n, 'images_per_second': n * args.batchsize / seconds,
            'step_seconds': seconds,
            'exchange_seconds': timed.seconds / args.iterations if timed else 0,
            'exchange_bytes': timed.bytes // args.iterations if timed else 0}))


if __name__ == '__main__':
    main()
