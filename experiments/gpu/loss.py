"""How long does the loss take on a GPU, forward and backward, beside others, and is it right?

    python -m experiments.gpu.loss

First the loss of multibox on the GPU is compared with that on the CPU. Then every contestant takes
turns with it: the loss of ChainerCV on CuPy, that of multibox as a CUDA graph and, where torch is
installed, the PyTorch losses (experiments/speed/torch_losses.py), in the first case also compiled.
``wall`` is the time from the call until the gradients are there. ``events`` is the GPU's own time,
behind a pause that hides the launches. The L2 cache is overwritten before each call. The bytes are
those of the logits, the labels and both gradients, each moved once, and the share relates to the
bandwidth of a copy. A part that fails is noted, and the others go on.
"""
import importlib.util
import statistics
from unittest import mock

from experiments.timing import gpu_clock
from experiments.timing.arrays import random_case
from experiments.timing.steps import chainer_step
from experiments.timing.turns import Results, make_parser, ratio, spread, take_turns
from multibox import multibox_loss
from multibox.engines import kernels
from multibox.errors import ending_together
from multibox.flags import check_numbers

import chainer
import chainercv.links.model.ssd
import numpy as np
from chainer.backends import cuda

CASES = {f'B = {B}, K = {K}, C = {C}': (B, K, C, .001)
         for C in (21, 81) for K in (8732, 24564) for B in (32, 256)}
CHECKED = (32, 8732, 21, .001), (3, 8732, 21, .5), (1, 24564, 81, .001)  # as for random_case
LIMITS = {'float32': 1e-5, 'float16': 1e-3}  # of errors relative to the norm


def _check():
    """Compare the loss on the GPU with that on the CPU; errors are relative to the norm."""
    results = {}
    for dtype, limit in LIMITS.items():
        for shape in CHECKED:
            B, K, C, _ = shape
            case = random_case(*shape)
            case = [*(x.astype(dtype) for x in case[:2]), *case[2:]]
            actual, expected = (_outcome([xp.asarray(x) for x in case]) for xp in (cuda.cupy, np))
            errors = [np.linalg.norm((one - other).ravel()) / np.linalg.norm(other.ravel())
                      for one, other in zip(actual, expected)]
            differ = (actual[3] != 0).any(axis=2) != (expected[3] != 0).any(axis=2)
            results[f'{dtype}, B = {B}, K = {K}, C = {C}'] = {
                'relative_errors': [f'{error:.1e}' for error in errors],  # JSON has no nan
                'boxes_mined_otherwise': int(differ.sum()),
                'right': all(error < limit for error in errors)}
    return results


def _outcome(case):
    """Both terms of the loss and the gradients of offsets and logits, as float64 on the host."""
    *terms, mb_locs, mb_confs = chainer_step(multibox_loss, *case)()
    return [cuda.to_cpu(x).astype(float)
            for x in (*(term.array for term in terms), mb_locs.grad, mb_confs.grad)]


def _step_without_sum(mb_locs, mb_confs, gt_mb_locs, gt_mb_labels):
    """The step of multibox; Chainer does not add its terms."""
    one = cuda.cupy.ones((), np.float32)

    def step():
        predictions = chainer.Variable(mb_locs), chainer.Variable(mb_confs)
        terms = multibox_loss(*predictions, gt_mb_locs, gt_mb_labels, 3)
        for term in terms:
            term.grad = one
        chainer.backward(terms)
        return *terms, *predictions
    return step


def _graph_step(step):
    """A step as a CUDA graph, which is captured on a stream of its own."""
    cuda.cupy.cuda.Device().synchronize()  # the arrays are complete
    stream = cuda.cupy.cuda.Stream(non_blocking=True)
    with stream:
        for _ in range(3):
            step()  # compiles, and leaves memory in the pool of the stream
        stream.begin_capture()
        kept = step()
        graph = stream.end_capture()
        graph.launch()
    stream.synchronize()
    for captured, expected in zip(kept[2:], step()[2:]):
        if not (captured.grad == expected.grad).all():
            raise RuntimeError('the graph computes other gradients')

    def replay():
        graph.launch()
        return kept  # the arrays that the graph writes to stay allocated
    return replay


def _torch_step(name, case, compiled=False):
    """The step of a PyTorch loss on the GPU, for NumPy arrays."""
    from experiments.speed import torch_losses

    import torch

    loss = torch_losses.LOSSES[name]
    return torch_losses.stepper(torch.compile(loss) if compiled else loss, *case, device='cuda')


def _contestants(name, case, arrays):
    """Yield the name of each contestant, and a function that makes its step."""
    yield 'chainercv', lambda: chainer_step(chainercv.links.model.ssd.multibox_loss, *arrays)
    yield 'ours, terms not added', lambda: _step_without_sum(*arrays)
    yield 'ours as a CUDA graph', lambda: _graph_step(chainer_step(multibox_loss, *arrays))
    half = [x.astype(np.float16) for x in arrays[:2]] + arrays[2:]
    yield 'ours, float16', lambda: chainer_step(multibox_loss, *half)
    yield 'ours, float16, as a CUDA graph', lambda: _graph_step(chainer_step(multibox_loss, *half))
    if importlib.util.find_spec('torch') is None:
        return
    published = 'ssd.pytorch', 'super-gradients', 'notebook'
    for loss in (*published, 'torchvision'):
        yield f'{loss}, eager', lambda loss=loss: _torch_step(loss, case)
    for loss in published if name == next(iter(CASES)) else ():
        yield f'{loss}, compiled', lambda loss=loss: _torch_step(loss, case, compiled=True)


def _kernel_times(clock, step, repeat):
    """Median microseconds of each kernel of a step."""
    launch, times = kernels.launch, {}

    def timed(source, kernel, *args):
        seconds = gpu_clock.on_gpu(lambda: launch(source, kernel, *args))
        times.setdefault(kernel, []).append(1e6 * seconds)
    with mock.patch.object(kernels, 'launch', timed):
        for _ in range(repeat):
            clock.overwrite_cache()
            step()
    return {kernel: statistics.median(each) for kernel, each in times.items()}


def _measure(clock, name, bandwidth, results, repeat):
    """Time the contestants of a case, each in turns with multibox; adds them to the results."""
    case = random_case(*CASES[name])
    arrays = [cuda.cupy.asarray(x) for x in case]
    multibox_step = chainer_step(multibox_loss, *arrays)
    n_bytes = {dtype: case[3].nbytes + (2 * case[1].size + case[0].size) * np.dtype(dtype).itemsize
               for dtype in ('float32', 'float16')}
    found = results.values[name] = {'bytes': n_bytes}
    with results.part(f'{name}, kernels'):
        found['kernels_us'] = _kernel_times(clock, multibox_step, repeat)
    for contestant, make in _contestants(name, case, arrays):
        with results.part(f'{name}, {contestant}'):
            readings = take_turns({'ours': multibox_step, contestant: make()}, repeat, clock,
                                  gpu_clock.WARM_UP)
            seconds = {key: gpu_clock.by_kind(each) for key, each in readings.items()}
            row = found[contestant] = {
                kind: {**spread(each), 'times_ours': ratio(each, seconds['ours'][kind])}
                for kind, each in seconds[contestant].items()}
            row['ours'] = {kind: spread(each) for kind, each in seconds['ours'].items()}
            if 'graph' in contestant and bandwidth:
                n_byte = n_bytes['float16' if 'float16' in contestant else 'float32']
                row['share_of_copy_bandwidth'] = (
                    n_byte / statistics.median(seconds[contestant]['events']) / bandwidth)
            _print_row(contestant, row)
        gpu_clock.free_memory()


def _print_row(contestant, row):
    wall, events = (row[kind]['median'] for kind in ('wall', 'events'))
    times = row['wall']['times_ours']
    print(f'  {contestant.replace("ours", "multibox"):34}{wall:10.0f} us wall {events:10.0f} us on '
          f'the GPU; multibox {row["ours"]["wall"]["median"]:7.0f}: {times["median"]:6.2f} of it '
          f'({times["min"]:.2f} to {times["max"]:.2f})'
          + (f', {row["share_of_copy_bandwidth"]:.0%} of a copy'
             if 'share_of_copy_bandwidth' in row else ''), flush=True)


def main(argv: list[str] | None = None) -> None:
    """Run the program; the file is written again after each contestant."""
    args = make_parser(__doc__, 'result/gpu/loss.json', 20).parse_args(argv)
    check_numbers(args, ('repeat',), lowest=1)
    gpu = gpu_clock.gpu_name()
    results = Results(args.out, f'python -m experiments.gpu.loss --repeat {args.repeat}')
    results.values['device'] = gpu
    with results.part('check'):
        results.values['check'] = _check()
        for name, checked in results.values['check'].items():
            print('right' if checked['right'] else 'WRONG', name, checked)
    clock = gpu_clock.Clock()
    bandwidth = gpu_clock.copy_bandwidth(clock, results, args.repeat)
    for name in CASES:
        print(name)
        with results.part(name):
            _measure(clock, name, bandwidth, results, args.repeat)
        gpu_clock.free_memory()
    print('failed:', ', '.join(results.values['failed']) or 'nothing')


if __name__ == '__main__':
    with ending_together('experiments.gpu.loss'):
        main()
