"""How long does the GPU spend on each kernel of a training step, and the host on its launches?

    python -m experiments.gpu.profile --model ssd300 --precision float16

The step is that of train.py on a batch in the memory of the GPU. It is timed first. Then the
profiler of PyTorch records the kernels of some steps by CUPTI, also those of CuPy and cuDNN,
because they run in the same process. The table sums the kernels in groups by their names, and lists
the kernels outside of the groups. The file holds all of them. ``host`` is the time in which the
host launches a step, one CUDA graph, on an idle GPU.
"""
import importlib.util
import re
import statistics
import time
from collections.abc import Iterable
from typing import Any

from experiments.gpu import multibox_ssd
from experiments.timing.contestant import Contestant
from experiments.timing.gpu_clock import gpu_name, on_host
from experiments.timing.turns import make_parser, save
from multibox.engines import PRECISIONS
from multibox.errors import UserError, ending_together
from multibox.flags import check_numbers
from multibox.networks import MODELS

WARM_UP = 25  # steps: compilation, plans, and float16's scale, which doubles until it overflows
PROFILED = 5  # steps
LISTED = 12  # kernels outside of the groups
# The first group whose pattern is found in the name of a kernel, without its template arguments.
# cuDNN converts arrays for some of its kernels; these conversions count as convolutions.
GROUPS = {
    'convolutions': r'cudnn|xmma|cutlass|conv(?!ert)|gemm|winograd|fft2d|nhwc|nchw|mult_and_sum',
    'rounding and copies': r'copy|mem(cpy|set)|bfloat16|convert|_fill',
    'pooling': r'max_pool',
    'normalisation': r'^normalize|batch_norm|^bn_',
    'loss': r'^(mark_largest|average|cross_entropy(_gradient)?|mine|gradients)$',
    'update': r'^(update|find_nonfinite|adapt)$',
}
REST = 'rest'


def group_of(kernel: str) -> str:
    """The group of a kernel, a key of :data:`GROUPS` or :data:`REST`, by its demangled name."""
    name = kernel.removeprefix('void ').partition('<')[0].partition('(')[0].strip()
    return next((group for group, pattern in GROUPS.items()
                 if re.search(pattern, name, re.IGNORECASE)), REST)


def summarize(launches: Iterable[tuple[str, float]], n_step: int) -> dict[str, Any]:
    """Sum the launches of some steps by kernel and by group.

    Args:
        launches: a name and microseconds of the GPU per launch.
        n_step: number of steps.

    Returns:
        ``busy_ms`` and ``launches`` per step; ``groups``, {name: {'ms', 'launches'}}; ``kernels``,
        a list of dicts with ``name`` and ``group``, too. Groups and kernels with more time come
        first.
    """
    kernels: dict[str, dict[str, Any]] = {}
    groups: dict[str, dict[str, float]] = {}
    for name, microseconds in launches:
        group = group_of(name)
        for row in (kernels.setdefault(name, {'name': name, 'group': group}),
                    groups.setdefault(group, {})):
            row['ms'] = row.get('ms', 0) + microseconds / 1e3 / n_step
            row['launches'] = row.get('launches', 0) + 1 / n_step
    rows = sorted(kernels.values(), key=lambda row: -row['ms'])
    return {'busy_ms': sum(row['ms'] for row in rows),
            'launches': sum(row['launches'] for row in rows),
            'groups': dict(sorted(groups.items(), key=lambda item: -item[1]['ms'])),
            'kernels': rows}


def table(results: dict[str, Any]) -> str:
    """The results of :func:`measure` and :func:`summarize` as lines of text."""
    lines = [f'{results["step_ms"]:.1f} ms per step, {results["images_a_second"]:.0f} images/s, '
             f'{results["memory_bytes"] / 1e9:.1f} GB; host {results["host_ms"]:.1f} ms, GPU busy '
             f'{results["busy_ms"]:.1f} ms', f'{"group":22}{"ms":>8}{"share":>8}{"launches":>10}']
    for name, row in results['groups'].items():
        lines.append(f'{name:22}{row["ms"]:8.2f}{row["ms"] / results["busy_ms"]:8.0%}'
                     f'{row["launches"]:10.0f}')
    rest = [row for row in results['kernels'] if row['group'] == REST]
    lines += [f'  {row["name"][:58]:58}{row["ms"]:8.2f} ms{row["launches"]:6.0f} launches'
              for row in rest[:LISTED]]
    return '\n'.join(lines)


def measure(contestant: Contestant, batchsize: int, repeat: int) -> dict[str, float]:
    """Time a step without the profiler.

    Args:
        contestant: the step, and the functions that wait for it and read the memory.
        batchsize: images of a step.
        repeat: number of timed steps.

    Returns:
        ``step_ms`` and ``host_ms``, milliseconds; ``images_a_second``; ``memory_bytes``.
    """
    for _ in range(WARM_UP):
        contestant.step()
    contestant.wait()
    begin = time.perf_counter()
    for _ in range(repeat):
        contestant.step()
    contestant.wait()
    seconds = (time.perf_counter() - begin) / repeat
    host = statistics.median(on_host(contestant.step) for _ in range(repeat))
    contestant.wait()
    return {'step_ms': 1e3 * seconds, 'host_ms': 1e3 * host,
            'images_a_second': batchsize / seconds, 'memory_bytes': contestant.memory()}


def record(contestant: Contestant, n_step: int) -> list[tuple[str, float]]:
    """Record the launches of some steps, as :func:`summarize` takes them.

    Raises:
        UserError: PyTorch sees no GPU, or CUPTI records nothing.
    """
    import torch
    from torch.profiler import ProfilerActivity, profile

    if not torch.cuda.is_available():
        raise UserError('this PyTorch sees no GPU; install a build of torch for CUDA')
    with profile(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA]) as profiler:
        for _ in range(n_step):
            contestant.step()
        contestant.wait()
        torch.cuda.synchronize()
    launches = [(event.name, event.device_time_total) for event in profiler.events()
                if event.device_type == torch.autograd.DeviceType.CUDA]
    if not launches:
        raise UserError('the profiler of PyTorch recorded no kernel; CUPTI may lack permission, '
                        'or another profiler may use it')
    return launches


def main(argv: list[str] | None = None) -> None:
    """Run the program.

    Raises:
        UserError: there is no GPU or no PyTorch, or as :func:`record`.
    """
    parser = make_parser(__doc__, 'result/gpu/profile.json', 30)
    parser.add_argument('--model', choices=sorted(MODELS), default='ssd300', help='network')
    parser.add_argument('--precision', choices=PRECISIONS, default='float16', help='precision')
    parser.add_argument('--batchsize', type=int, default=32, metavar='N', help='images of a step')
    args = parser.parse_args(argv)
    check_numbers(args, ('repeat', 'batchsize'), lowest=1)
    results: dict[str, Any] = {'gpu': gpu_name(), 'model': args.model,
                               'precision': args.precision, 'batchsize': args.batchsize}
    if importlib.util.find_spec('torch') is None:
        raise UserError('the profiler is that of PyTorch, which is not installed: pip install '
                        'torch')
    contestant = multibox_ssd.on_one_batch(args.model, args.precision, '0', args.batchsize)
    results |= measure(contestant, args.batchsize, args.repeat)
    results |= summarize(record(contestant, PROFILED), PROFILED)
    save(args.out, f'python -m experiments.gpu.profile --model {args.model} --precision '
         f'{args.precision} --batchsize {args.batchsize} --repeat {args.repeat}', results)
    print(f'{args.model}, {args.precision}, images: {args.batchsize}')
    print(table(results))


if __name__ == '__main__':
    with ending_together('experiments.gpu.profile'):
        main()
