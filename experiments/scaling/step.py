"""Under mpiexec: seconds of a training step, and seconds of the exchange between processes.

experiments.scaling.measure starts this program. The first process prints one line of JSON.
"""
import json
import time

from experiments.timing.arrays import random_batch
from multibox.devices import is_gpu, local_device, select_device
from multibox.engines import set_up
from multibox.errors import ending_together
from multibox.flags import make_parser
from multibox.networks import MODELS, make_detector
from multibox.processes import COMMUNICATORS, as_processes, join_processes
from multibox.training import TrainChain, make_multi_node, make_optimizer, share_batch_statistics

import chainer
import numpy as np


class _TimedCommunicator:
    """A ChainerMN communicator that adds up the seconds and the bytes of its exchanges."""

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
        begin = _now()
        result = exchange(*args)
        self.seconds += _now() - begin
        return result


def _now():
    """Seconds of a clock, after the GPU has done its work so far."""
    if chainer.backends.cuda.available:
        chainer.backends.cuda.Stream.null.synchronize()
    return time.perf_counter()


def main() -> None:
    """Run the program."""
    parser = make_parser(__doc__)
    parser.add_argument('--model', choices=sorted(MODELS), default='slim300', help='the network')
    parser.add_argument('--batchsize', type=int, default=8, help='images of one process')
    parser.add_argument('--iterations', type=int, default=10, help='timed steps')
    parser.add_argument('--device', default='-1', help='as of train.py')
    parser.add_argument('--communicator', choices=COMMUNICATORS, help='as of train.py')
    parser.add_argument('--double-buffering', action='store_true',
                        help='exchange the gradients during the next step')
    args = parser.parse_args()
    processes = join_processes(args.communicator, is_gpu(args.device))
    device = select_device(local_device(args.device, processes))
    set_up(device, spare_cores=1)
    timed = None
    if processes.comm is not None and not args.double_buffering:
        timed = _TimedCommunicator(processes.comm)
        processes = as_processes(timed)
    np.random.seed(0)
    model = make_detector(args.model, 20)
    share_batch_statistics(model, processes)
    chain = TrainChain(model, comm=processes)
    chain.to_device(device)
    optimizer = make_optimizer('momentum_sgd', chain, 1e-6, 5e-4)
    if args.double_buffering:
        import chainermn
        optimizer = chainermn.create_multi_node_optimizer(
            optimizer, processes.comm, double_buffering=True)
    else:
        optimizer = make_multi_node(optimizer, processes)
    batch = random_batch(args.batchsize, model.insize, len(model.coder.default_bbox))
    batch = [device.send(array) for array in batch]
    for _ in range(2):  # the first update can differ from the others; the second warms up
        optimizer.update(chain, *batch)
    if timed:
        timed.seconds = timed.bytes = 0
    begin = _now()
    for _ in range(args.iterations):
        optimizer.update(chain, *batch)
    seconds = (_now() - begin) / args.iterations
    if processes.is_first:
        print(json.dumps({
            'processes': processes.size,
            'images_per_second': processes.size * args.batchsize / seconds,
            'step_seconds': seconds,
            'exchange_seconds': timed.seconds / args.iterations if timed else 0,
            'exchange_bytes': timed.bytes // args.iterations if timed else 0}))


if __name__ == '__main__':
    with ending_together('experiments.scaling.step'):
        main()
