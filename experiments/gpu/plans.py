"""Which plans of cuDNN are the fastest for a network, and how fast is the heuristic's first?

    python -m experiments.gpu.plans --precisions float32 tf32

Every distinct convolution of a training step is listed once, with each of its gradients: its plan,
seconds of the GPU, the seconds of the plan that is taken without a measurement, and the number of
plans that were timed. The name of a plan begins with its form: arrays channels first, or turned
weights, or neither. The user's cache is not read.
"""
from typing import Any

from experiments.timing.gpu_clock import free_memory, gpu_name
from experiments.timing.turns import make_parser, save
from multibox import engines
from multibox.devices import select_device
from multibox.engines.convolution import plans, timing
from multibox.engines.convolution.forms import Form, Problem
from multibox.errors import ending_together
from multibox.flags import check_numbers
from multibox.networks import make_detector
from multibox.training import halve
from multibox.training.plans import measure


class Compared(plans.Table):
    """A table that also times the plan that is taken without a table; ``first`` holds seconds."""

    def __init__(self):
        super().__init__()
        self.first: dict[str, float] = {}

    def choose(self, problem: Problem, arrays: tuple) -> Form:
        """As :meth:`Table.choose`."""
        form = Form(problem)
        form.graph.build_first()
        self.first[problem.key] = timing.seconds(form, arrays)
        return super().choose(problem, arrays)


def compare(model: str, precision: str, batchsize: int) -> list[dict[str, Any]]:
    """Measure the plans of a network on the first GPU.

    Args:
        model: a key of :data:`multibox.networks.MODELS`.
        precision: one of :data:`multibox.engines.PRECISIONS`.
        batchsize: number of images.

    Returns:
        Per convolution and operation, the slowest first: ``problem``, ``plan``, ``seconds``,
        ``seconds_of_first`` and ``n_timed``.
    """
    device = select_device('cuda')
    engines.set_up(device, 'cudnn', precision)
    detector = make_detector(model, 20)
    if precision in ('float16', 'bfloat16'):
        halve(detector, precision)
    detector.to_device(device)
    table = Compared()
    measure(detector, batchsize, table)
    found = [{'problem': key, 'plan': table.plans[key], 'seconds': times[table.plans[key]],
              'seconds_of_first': table.first[key], 'n_timed': len(times)}
             for key, times in table.times.items()]
    return sorted(found, key=lambda each: -each['seconds_of_first'])


def main(argv: list[str] | None = None) -> None:
    """Run the program."""
    parser = make_parser(__doc__, 'result/gpu/plans.json', timing.REPEAT)
    parser.add_argument('--model', choices=('ssd300', 'ssd512', 'slim300'), default='ssd300',
                        help='network')
    parser.add_argument('--batchsize', type=int, default=32, metavar='N', help='number of images')
    parser.add_argument('--precisions', nargs='+', choices=engines.PRECISIONS,
                        default=engines.PRECISIONS, help='precisions')
    args = parser.parse_args(argv)
    check_numbers(args, ('repeat', 'batchsize'), lowest=1)
    timing.REPEAT = args.repeat
    command = (f'python -m experiments.gpu.plans --model {args.model} --batchsize '
               f'{args.batchsize} --repeat {args.repeat} --precisions {" ".join(args.precisions)}')
    results: dict[str, Any] = {'gpu': gpu_name()}
    for precision in args.precisions:
        results[precision] = found = compare(args.model, precision, args.batchsize)
        save(args.out, command, results)
        free_memory()
        for each in found:
            print(f'{precision}: {each["problem"]}: {1e3 * each["seconds_of_first"]:.3f} ms to '
                  f'{1e3 * each["seconds"]:.3f} ms by {each["plan"]}', flush=True)


if __name__ == '__main__':
    with ending_together('experiments.gpu.plans'):
        main()
