"""The work between convolutions, and the update, on a GPU: right, and how fast beside Chainer's?

    python -m experiments.gpu.ops

First the kernels are compared with the CPU's results, and the update with Chainer's on the GPU.
Then the kernels and Chainer's own code take turns at the operations of SSD300 in a step of 32
images, forward and backward. ``wall`` is the time from the call until the GPU is done. ``events``
is the GPU's own time, behind a pause that hides the launches. The share relates to the bandwidth of
a copy, as if each array were moved once. A part that fails is noted, and the others go on.
"""
import statistics

from experiments.gpu.ops_check import CHECKS
from experiments.gpu.ops_steps import parts
from experiments.timing import gpu_clock
from experiments.timing.turns import Results, make_parser, ratio, spread, take_turns
from multibox.errors import ending_together
from multibox.flags import check_numbers


def _measure(clock, name, steps, n_byte, bandwidth, repeat):
    """Time the contestants of a part; ``times_ours`` are multiples of the time of the kernels."""
    seconds = {contestant: gpu_clock.by_kind(readings) for contestant, readings
               in take_turns(steps, repeat, clock, gpu_clock.WARM_UP).items()}
    found = {'bytes': n_byte}
    for contestant, each in seconds.items():
        found[contestant] = {kind: spread(each[kind]) for kind in each}
        if bandwidth:
            found[contestant]['share_of_copy_bandwidth'] = (
                n_byte / statistics.median(each['events']) / bandwidth)
    found['times_ours'] = {kind: ratio(seconds['chainer'][kind], seconds['ours'][kind])
                           for kind in ('wall', 'events')}
    print(f'{name}: ' + '; '.join(
        f'{contestant.replace("ours", "multibox")} {found[contestant]["wall"]["median"]:.0f} us '
        f'wall, {found[contestant]["events"]["median"]:.0f} on the GPU' for contestant in steps)
        + f'; chainer {found["times_ours"]["wall"]["median"]:.1f} times multibox', flush=True)
    return found


def main(argv: list[str] | None = None) -> None:
    """Run the program; the file is written again after each part."""
    parser = make_parser(__doc__, 'result/gpu/ops.json', 20)
    parser.add_argument('--batchsize', type=int, default=32, metavar='B', help='number of images')
    args = parser.parse_args(argv)
    check_numbers(args, ('repeat', 'batchsize'), lowest=1)
    gpu = gpu_clock.gpu_name()
    results = Results(args.out, 'python -m experiments.gpu.ops '
                      f'--repeat {args.repeat} --batchsize {args.batchsize}')
    results.values.update(device=gpu, relative_errors={})
    for check in CHECKS:
        with results.part(check.__name__):
            results.values['relative_errors'][check.__name__] = errors = check()
            print(check.__name__, errors, flush=True)
        gpu_clock.free_memory()
    clock = gpu_clock.Clock()
    bandwidth = gpu_clock.copy_bandwidth(clock, results, args.repeat)
    for name, make, arguments in parts():
        with results.part(name):
            results.values[name] = _measure(
                clock, name, *make(args.batchsize, *arguments), bandwidth, args.repeat)
        gpu_clock.free_memory()
    print('failed:', ', '.join(results.values['failed']) or 'nothing')


if __name__ == '__main__':
    with ending_together('experiments.gpu.ops'):
        main()
