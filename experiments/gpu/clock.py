"""How long calls take on a GPU: until it is done, and the GPU's own part of that."""
import statistics
import time

import multibox  # noqa: F401  before Chainer, which NumPy 2 would keep from being imported

import numpy as np
from chainer.backends import cuda

PAUSE = r'''extern "C" __global__ void pause(long long cycles) {
    for (long long start = clock64(); clock64() - start < cycles;);
}'''
CYCLES = 20_000_000  # 10 ms at 2 GHz: longer than it takes to launch what is timed
COPIED = 2 ** 30  # bytes


def on_gpu(call):
    """Seconds a GPU spends on what a call launches; the launches themselves hide behind a pause."""
    cupy = cuda.cupy
    start, stop = cupy.cuda.Event(), cupy.cuda.Event()
    cupy.RawKernel(PAUSE, 'pause')((1,), (1,), (np.int64(CYCLES),))
    start.record()
    call()
    stop.record()
    stop.synchronize()
    return cupy.cuda.get_elapsed_time(start, stop) / 1e3


class Clock:
    """Times calls on the current stream, whose arrays are not in the GPU's L2 cache any more."""

    def __init__(self):
        self._overwritten = cuda.cupy.zeros(2 ** 28, np.uint8)  # four times the L2 of an H200

    def __call__(self, call):
        """{'wall': seconds until the GPU is done, 'events': seconds of the GPU}, of a call each."""
        self.empty_cache()
        cuda.cupy.cuda.Device().synchronize()
        start = time.perf_counter()
        call()
        cuda.cupy.cuda.Device().synchronize()
        wall = time.perf_counter() - start
        self.empty_cache()
        return {'wall': wall, 'events': on_gpu(call)}

    def empty_cache(self):
        """Have the GPU's L2 cache hold other memory."""
        self._overwritten.fill(1)


def take_turns(clock, contestants, repeat):
    """Seconds of each of {name: function}, call by call in turns, after five calls of each."""
    for call in contestants.values():
        for _ in range(5):  # torch.compile may begin anew in the second
            call()
    seconds = {name: {'wall': [], 'events': []} for name in contestants}
    for _ in range(repeat):
        for name, call in contestants.items():
            for kind, each in clock(call).items():
                seconds[name][kind].append(each)
    return seconds


def spread(seconds):
    """Microseconds: median, lowest and highest."""
    return {name: 1e6 * of(seconds) for name, of in (
        ('median', statistics.median), ('min', min), ('max', max))}


def copy_bandwidth(clock, repeat):
    """Bytes a second, read and written, of a copy on the device."""
    source, target = cuda.cupy.ones(COPIED, np.uint8), cuda.cupy.empty(COPIED, np.uint8)

    def copy():
        target[...] = source
    seconds = take_turns(clock, {'copy': copy}, repeat)['copy']['events']
    return 2 * COPIED / statistics.median(seconds)
