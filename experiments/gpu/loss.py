"""How long does the loss take on a GPU, forward and backward, beside others, and is it right?

    python -m experiments.gpu.loss

First ours is held to the CPU's. Then every contestant takes turns with ours, in wall time from
call to finished gradients and, by CUDA events behind a pause that hides the launches, in the GPU's
own, with L2 overwritten before each call: ChainerCV's on CuPy; ours replayed as a CUDA graph; and
where torch is installed the PyTorch formulations (experiments/speed/torch_losses.py), eager and, in
the first case, compiled. The bytes are those of the logits, the labels and both gradients, each
once; the share is that of the bandwidth of a copy, measured here. What fails is noted, the rest
goes on.
"""
import argparse
import contextlib
import importlib.util
import pathlib
import statistics
import traceback

from experiments.gpu.clock import Clock, copy_bandwidth, on_gpu, spread, take_turns
from experiments.speed import turns
from experiments.speed.loss import draw_case
from multibox import gpu, multibox_loss

import chainer
import chainercv.links.model.ssd
import numpy as np
from chainer.backends import cuda

CASES = {f'B = {B}, K = {K}, C = {C}': (B, K, C, .001)
         for C in (21, 81) for K in (8732, 24564) for B in (32, 256)}


def parse_args(argv=None):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--repeat', type=int, default=20, metavar='N',
                        help='timed turns of each contestant (20)')
    parser.add_argument('--out', type=pathlib.Path, metavar='FILE',
                        default=pathlib.Path('result/gpu/loss.json'),
                        help='written after each contestant (result/gpu/loss.json)')
    return parser.parse_args(argv)


def chainer_step(loss, mb_locs, mb_confs, gt_mb_locs, gt_mb_labels):
    """A function that runs a loss of ChainerCV's signature forward and backward."""
    def step():
        predictions = chainer.Variable(mb_locs), chainer.Variable(mb_confs)
        loc_loss, conf_loss = loss(*predictions, gt_mb_locs, gt_mb_labels, 3)
        (loc_loss + conf_loss).backward()
        return loc_loss, conf_loss, *predictions
    return step


def step_without_sum(mb_locs, mb_confs, gt_mb_locs, gt_mb_labels):
    """The same of ours, without what Chainer needs to add two numbers and to pass that back."""
    one = cuda.cupy.ones((), np.float32)

    def step():
        predictions = chainer.Variable(mb_locs), chainer.Variable(mb_confs)
        terms = multibox_loss(*predictions, gt_mb_locs, gt_mb_labels, 3)
        for term in terms:
            term.grad = one
        chainer.backward(terms)
        return *terms, *predictions
    return step


def graph_step(step):
    """A CUDA graph of a step, captured on a stream of its own and replayed on the current one."""
    cuda.cupy.cuda.Device().synchronize()  # the arrays are there
    stream = cuda.cupy.cuda.Stream(non_blocking=True)
    with stream:
        for _ in range(3):
            step()  # compiles, and leaves memory in the stream's pool
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
        return kept  # what the graph writes to must stay allocated
    return replay


def torch_step(name, case, compiled=False):
    """A function that runs one of the PyTorch formulations on the GPU."""
    from experiments.speed import torch_losses

    import torch

    loss = torch_losses.LOSSES[name]
    return torch_losses.stepper(torch.compile(loss) if compiled else loss, *case, device='cuda')


def contestants(name, case, on_gpu):
    """{name: function that makes the function to time}; a part may fail without the others."""
    yield 'chainercv', lambda: chainer_step(chainercv.links.model.ssd.multibox_loss, *on_gpu)
    yield 'ours, terms not added', lambda: step_without_sum(*on_gpu)
    yield 'ours as a CUDA graph', lambda: graph_step(chainer_step(multibox_loss, *on_gpu))
    half = [x.astype(np.float16) for x in on_gpu[:2]] + on_gpu[2:]
    yield 'ours, float16', lambda: chainer_step(multibox_loss, *half)
    yield 'ours, float16, as a CUDA graph', lambda: graph_step(chainer_step(multibox_loss, *half))
    if importlib.util.find_spec('torch') is None:
        return
    published = 'ssd.pytorch', 'super-gradients', 'notebook'
    for loss in (*published, 'torchvision'):
        yield f'{loss}, eager', lambda loss=loss: torch_step(loss, case)
    for loss in published if name == next(iter(CASES)) else ():
        yield f'{loss}, compiled', lambda loss=loss: torch_step(loss, case, compiled=True)


def check(xp):
    """Ours on the GPU against the CPU's: errors of values and gradients relative to their norm."""
    results = {}
    for dtype in ('float32', 'float16'):
        for B, K, C, p_positive in ((32, 8732, 21, .001), (3, 8732, 21, .5), (1, 24564, 81, .001)):
            case = draw_case(B, K, C, p_positive)
            case = [*(x.astype(dtype) for x in case[:2]), *case[2:]]
            actual, expected = (
                [*(cuda.to_cpu(x.array).astype('d') for x in (loc_loss, conf_loss)),
                 *(cuda.to_cpu(x.grad).astype('d') for x in predictions)]
                for loc_loss, conf_loss, *predictions in (
                    chainer_step(multibox_loss, *map(xp.asarray, case))(),
                    chainer_step(multibox_loss, *case)()))
            errors = [np.linalg.norm((one - other).ravel()) / np.linalg.norm(other.ravel())
                      for one, other in zip(actual, expected)]
            differ = int(((actual[3] != 0).any(axis=2) != (expected[3] != 0).any(axis=2)).sum())
            results[f'{dtype}, B = {B}, K = {K}, C = {C}'] = {
                'relative_errors': [f'{error:.1e}' for error in errors],  # JSON has no nan
                'boxes_mined_otherwise': differ,
                'right': all(error < (1e-5 if dtype == 'float32' else 1e-3) for error in errors)}
    return results


def kernel_times(clock, step, repeat):
    """Median microseconds of each launch of a step."""
    launch, times = gpu.launch, {}

    def timed(source, kernel, *args):
        times.setdefault(kernel, []).append(1e6 * on_gpu(lambda: launch(source, kernel, *args)))
    gpu.launch = timed
    try:
        for _ in range(repeat):
            clock.empty_cache()
            step()
    finally:
        gpu.launch = launch
    return {kernel: statistics.median(each) for kernel, each in times.items()}


def free_memory(xp):
    xp.get_default_memory_pool().free_all_blocks()
    if importlib.util.find_spec('torch') is not None:
        import torch
        torch.cuda.empty_cache()


class Results:
    """What is known so far, in a file."""

    def __init__(self, path, command):
        self.path, self.command, self.values = path, command, {'failed': {}}

    def save(self):
        turns.save(self.path, self.command, self.values)

    @contextlib.contextmanager
    def noting_failure(self, name):
        """Save what the block adds, or why it failed."""
        try:
            yield
        except Exception as error:  # CUDA, torch and compilers have no common class
            traceback.print_exc()
            self.values['failed'][name] = f'{type(error).__name__}: {error}'[:2000]
        self.save()


def measure(xp, clock, name, shape, bandwidth, results, repeat):
    case = draw_case(*shape)
    on_gpu = [xp.asarray(x) for x in case]
    ours = chainer_step(multibox_loss, *on_gpu)
    moved = {dtype: case[3].nbytes + (2 * case[1].size + case[0].size) * np.dtype(dtype).itemsize
             for dtype in ('float32', 'float16')}
    found = results.values[name] = {'bytes': moved}
    with results.noting_failure(f'{name}, kernels'):
        found['kernels_us'] = kernel_times(clock, ours, repeat)
    for contestant, make in contestants(name, case, on_gpu):
        with results.noting_failure(f'{name}, {contestant}'):
            seconds = take_turns(clock, {'ours': ours, contestant: make()}, repeat)
            row = found[contestant] = {
                kind: {**spread(seconds[contestant][kind]), 'times_ours': turns.ratio(
                    seconds[contestant][kind], seconds['ours'][kind])}
                for kind in ('wall', 'events')}
            row['ours'] = {kind: spread(each) for kind, each in seconds['ours'].items()}
            if 'graph' in contestant and bandwidth:
                n_byte = moved['float16' if 'float16' in contestant else 'float32']
                row['share_of_copy_bandwidth'] = (
                    n_byte / statistics.median(seconds[contestant]['events']) / bandwidth)
            report(contestant, row)
        free_memory(xp)


def report(contestant, row):
    wall, events = (row[kind]['median'] for kind in ('wall', 'events'))
    times = row['wall']['times_ours']
    print(f'  {contestant:32}{wall:10.0f} us wall {events:10.0f} us on the GPU; ours '
          f'{row["ours"]["wall"]["median"]:7.0f}: {times["median"]:6.2f} of it '
          f'({times["min"]:.2f} to {times["max"]:.2f})'
          + (f', {row["share_of_copy_bandwidth"]:.0%} of a copy'
             if 'share_of_copy_bandwidth' in row else ''), flush=True)


def main(argv=None):
    args = parse_args(argv)
    if not cuda.available:
        raise SystemExit('experiments.gpu.loss: CuPy finds no GPU here')
    xp = cuda.cupy
    results = Results(args.out, f'python -m experiments.gpu.loss --repeat {args.repeat}')
    results.values['device'] = xp.cuda.runtime.getDeviceProperties(0)['name'].decode()
    with results.noting_failure('check'):
        results.values['check'] = check(xp)
        for name, checked in results.values['check'].items():
            print('right' if checked['right'] else 'WRONG', name, checked)
    clock, bandwidth = Clock(), None
    with results.noting_failure('bandwidth'):
        bandwidth = results.values['copy_bytes_per_second'] = copy_bandwidth(clock, args.repeat)
        print(f'copy: {bandwidth / 1e12:.2f} TB/s, read and written')
    for name, shape in CASES.items():
        print(name)
        with results.noting_failure(name):
            measure(xp, clock, name, shape, bandwidth, results, args.repeat)
        free_memory(xp)
    print('failed:', ', '.join(results.values['failed']) or 'nothing')


if __name__ == '__main__':
    main()
