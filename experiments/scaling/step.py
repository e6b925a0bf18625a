"""Under mpiexec: seconds of a training step, and what of it is the exchange of gradients.

Started by experiments.scaling.measure; the first process prints one JSON line.
"""
import argparse
import json
import time

from multibox import convolution
from multibox.detectors import MODELS, make_detector
from multibox.devices import leave_a_core, select_device
from multibox.training import (
    COMMUNICATORS,
    TrainChain,
    join_processes,
    local_gpu,
    make_optimizer,
    share_batch_statistics,
)

import chainer
import numpy as np


class Timed:
    """A communicator that adds up the seconds of its gradient exchange."""

    def __init__(self, comm):
        self.comm, self.seconds = comm, 0.

    def __getattr__(self, name):
        return getattr(self.comm, name)

    def multi_node_mean_grad(self, *args):
        begin = now()
        self.comm.multi_node_mean_grad(*args)
        self.seconds += now() - begin


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
    on_gpu = args.device not in ('-1', '@numpy')
    comm = join_processes(args.communicator, on_gpu)
    device = select_device(local_gpu(comm) if comm is not None and on_gpu else args.device)
    convolution.install()
    convolution.keep_freed_memory()
    leave_a_core()
    np.random.seed(0)
    model = make_detector(args.model, 20)
    share_batch_statistics(model, comm)
    chain = TrainChain(model, comm=comm)
    chain.to_device(device)
    optimizer = make_optimizer('momentum_sgd', chain, 1e-6, 5e-4)
    timed = None
    if comm is not None:
        import chainermn
        timed = comm if args.double_buffering else Timed(comm)
        optimizer = chainermn.create_multi_node_optimizer(
            optimizer, timed, double_buffering=args.double_buffering)
    K = len(model.coder.default_bbox)
    batch = [device.send(x) for x in (
        np.random.normal(size=(args.batchsize, 3, model.insize, model.insize)).astype('f'),
        np.random.normal(size=(args.batchsize, K, 4)).astype('f'),
        (np.random.uniform(size=(args.batchsize, K)) < .005).astype('i'))]
    for _ in range(2):  # the first update of ChainerMN is another, the second is warm
        optimizer.update(chain, *batch)
    if isinstance(timed, Timed):
        timed.seconds = 0.
    begin = now()
    for _ in range(args.iterations):
        optimizer.update(chain, *batch)
    seconds = (now() - begin) / args.iterations
    if comm is None or comm.rank == 0:
        n = 1 if comm is None else comm.size
        print(json.dumps({
            'processes': n, 'images_per_second': n * args.batchsize / seconds,
            'step_seconds': seconds,
            'exchange_seconds': timed.seconds / args.iterations if isinstance(timed, Timed)
            else None if args.double_buffering else 0.,
            'exchange_bytes': sum(p.array.nbytes for p in chain.params()) if n > 1 else 0}))


if __name__ == '__main__':
    main()
