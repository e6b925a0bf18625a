"""How many bytes do the arrays of a training step take? Counted with NumPy, without a GPU.

    python -m experiments.gpu.memory

A step of SSD300 with one image and with two gives the bytes per image at the peak: as train.py
runs it, which frees maps during the backward pass, and as Chainer alone does. The arrays of a GPU
are the same, but for workspaces of cuDNN and for room between arrays.
"""
import contextlib
import tracemalloc

from experiments.timing.arrays import random_batch
from experiments.timing.turns import make_parser, save
from multibox.errors import ending_together
from multibox.networks import make_detector
from multibox.training import TrainChain, make_optimizer
from multibox.training.release import Release


def peak(model: str, batchsize: int, frees: bool) -> int:
    """The most bytes of arrays at a time, in the second step of a network.

    Args:
        model: a key of :data:`multibox.networks.MODELS`.
        batchsize: number of images.
        frees: whether maps are freed during the backward pass.
    """
    detector = make_detector(model, 20)
    chain = TrainChain(detector)
    optimizer = make_optimizer('momentum_sgd', chain, 1e-6, 5e-4)
    batch = random_batch(batchsize, detector.insize, len(detector.coder.default_bbox))
    with Release() if frees else contextlib.nullcontext():
        optimizer.update(chain, *batch)  # makes the momenta
        tracemalloc.start()
        optimizer.update(chain, *batch)
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    return most


def main(argv: list[str] | None = None) -> None:
    """Run the program."""
    parser = make_parser(__doc__, 'result/gpu/memory.json', 1)
    parser.add_argument('--model', choices=('ssd300', 'ssd512', 'slim300'), default='ssd300',
                        help='network')
    args = parser.parse_args(argv)
    found = {name: peak(args.model, 2, frees) - peak(args.model, 1, frees)
             for name, frees in (('frees maps', True), ('keeps maps', False))}
    save(args.out, f'python -m experiments.gpu.memory --model {args.model}',
         {'bytes per image': found})
    for name, n in found.items():
        print(f'{args.model} {name}: {n / 1e6:.1f} MB per image')


if __name__ == '__main__':
    with ending_together('experiments.gpu.memory'):
        main()
