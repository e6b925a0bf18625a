"""The clock of a GPU: the time until a call is done, and the GPU's own share of that time."""
import importlib.util
import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

from experiments.timing.turns import Results, elapsed, take_turns
from multibox.errors import UserError

import numpy as np
from chainer.backends import cuda

PAUSE = r'''extern "C" __global__ void pause(long long cycles) {
    for (long long start = clock64(); clock64() - start < cycles;);
}'''
CYCLES = 20_000_000  # 10 ms at 2 GHz, longer than the launches of any step take
CACHE = 2 ** 28  # bytes: four times the L2 cache of an H200
COPIED = 2 ** 30  # bytes
WARM_UP = 5  # turns; torch.compile can compile again in the second


def gpu_name() -> str:
    """The name of the current GPU.

    Raises:
        UserError: CuPy finds no GPU.
    """
    if not cuda.available:
        raise UserError('CuPy finds no GPU here; run this on a machine with one, see docs/gpu.md')
    runtime = cuda.cupy.cuda.runtime
    return runtime.getDeviceProperties(runtime.getDevice())['name'].decode()


def on_gpu(call: Callable[[], Any]) -> float:
    """Seconds that the GPU spends on the kernels of a call; a pause hides the launches."""
    cupy = cuda.cupy
    start, stop = cupy.cuda.Event(), cupy.cuda.Event()
    cupy.RawKernel(PAUSE, 'pause')((1,), (1,), (np.int64(CYCLES),))
    start.record()
    call()
    stop.record()
    stop.synchronize()
    return cupy.cuda.get_elapsed_time(start, stop) / 1e3


def on_host(call: Callable[[], Any]) -> float:
    """Seconds that the host spends on the launches of a call, on an idle GPU."""
    cuda.cupy.cuda.Device().synchronize()
    return elapsed(call)


class Clock:
    """Times calls on the current stream; before each call, the L2 cache is overwritten."""

    def __init__(self):
        self._other = cuda.cupy.zeros(CACHE, np.uint8)

    def __call__(self, call: Callable[[], Any]) -> dict[str, float]:
        """Call twice: ``wall``, seconds until the GPU is done; ``events``, seconds of the GPU."""
        self.overwrite_cache()
        cuda.cupy.cuda.Device().synchronize()
        start = time.perf_counter()
        call()
        cuda.cupy.cuda.Device().synchronize()
        wall = time.perf_counter() - start
        self.overwrite_cache()
        return {'wall': wall, 'events': on_gpu(call)}

    def overwrite_cache(self) -> None:
        """Fill the L2 cache of the GPU with other memory."""
        self._other.fill(1)


def by_kind(readings: Sequence[dict[str, float]]) -> dict[str, list[float]]:
    """Readings of a :class:`Clock`, turn by turn, as lists of ``wall`` and of ``events``."""
    return {kind: [reading[kind] for reading in readings] for kind in ('wall', 'events')}


def copy_bandwidth(clock: Clock, results: Results, repeat: int) -> float | None:
    """Bytes per second, read and written together, of a copy on the GPU; None if that fails."""
    bandwidth = None
    with results.part('bandwidth'):
        source, target = cuda.cupy.ones(COPIED, np.uint8), cuda.cupy.empty(COPIED, np.uint8)

        def copy():
            target[...] = source
        readings = take_turns({'copy': copy}, repeat, clock, WARM_UP)['copy']
        bandwidth = 2 * COPIED / statistics.median(by_kind(readings)['events'])
        results.values['copy_bytes_per_second'] = bandwidth
        print(f'copy: {bandwidth / 1e12:.2f} TB/s, read and written')
    return bandwidth


def free_memory() -> None:
    """Return unused memory of CuPy and of PyTorch to the GPU."""
    cuda.cupy.get_default_memory_pool().free_all_blocks()
    if importlib.util.find_spec('torch') is not None:
        import torch
        torch.cuda.empty_cache()
