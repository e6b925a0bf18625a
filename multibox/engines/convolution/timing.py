"""Times of cuDNN's plans, measured on the GPU with the arrays of a call."""
import contextlib
import itertools
import math
import time
from typing import Any

from multibox.engines.convolution.forms import Form, Problem
from multibox.typing import Array

import numpy as np
from chainer.backends import cuda

SECONDS = .2  # for a convolution; plans that come later are not tried
LEAST = 4  # plans that are tried even if they take longer
QUICK = 20e-6  # seconds; a plan that takes no longer ends the search
REPEAT = 3  # runs of a plan, of which the fastest counts
BEFORE = 2 ** 28  # bytes that the GPU writes before a run, so that the host launches meanwhile


def measure(problem: Problem, arrays: tuple[Array, ...]) -> tuple[Form | None, dict[str, float]]:
    """Time the plans of all forms of a problem, which takes about :data:`SECONDS`.

    Args:
        problem: the problem.
        arrays: arguments of the call; the result is overwritten.

    Returns:
        ``(form, times)``: the form with the fastest plan, ready to be called, or None if all plans
        fail; and {plan: seconds}, without those that fail.
    """
    times: dict[str, float] = {}
    found = {}
    end = time.monotonic() + SECONDS
    for plan, form, index in _candidates(problem):
        is_over = len(times) >= LEAST and time.monotonic() > end
        if is_over or min(times.values(), default=1) < QUICK:
            break
        if plan in times:  # several heuristics offer it
            continue
        try:
            form.graph.build(index)
            times[plan] = seconds(form, arrays, min(times.values(), default=math.inf))
            found[plan] = form, index
        except failures():
            continue
    if not found:
        return None, times
    form, index = found[fastest(times)]
    form.graph.build(index)  # at once: it has been built before
    return form, times


def fastest(times: dict[str, float]) -> str:
    """The plan of the least seconds; of equal ones the first."""
    return min(times, key=lambda plan: times[plan])


def _candidates(problem):
    """Yield (plan, form, index), one of each form in turn."""
    offers = []
    for name in problem.forms():
        with contextlib.suppress(*failures()):
            form = Form(problem, name)
            offers.append([(f'{name}: {offer}', form, index)
                           for index, offer in enumerate(form.graph.offers())])
    for turn in itertools.zip_longest(*offers):
        yield from filter(None, turn)


def seconds(form: Form, arrays: tuple[Array, ...], best: float = math.inf) -> float:
    """Time a form with its plan.

    Args:
        form: the form.
        arrays: arguments of the call; the result is overwritten.
        best: seconds; a plan that is much slower is not run again.

    Returns:
        The seconds of the GPU of the fastest of :data:`REPEAT` runs.
    """
    event, elapsed = cuda.cupy.cuda.Event, cuda.cupy.cuda.get_elapsed_time
    stream = cuda.cupy.cuda.get_current_stream()
    busy, least = cuda.cupy.empty(BEFORE, np.uint8), math.inf
    form(*arrays)  # loads the kernels
    for _ in range(REPEAT):
        start, stop = event(), event()
        busy.fill(0)
        start.record(stream)
        form(*arrays)
        stop.record(stream)
        stop.synchronize()
        least = min(least, elapsed(start, stop) / 1e3)
        if least > 2 * best:
            break
    return least


def failures() -> tuple[Any, ...]:
    """The errors of a plan that cannot be built or run."""
    import cudnn
    return cudnn.cudnnGraphNotSupportedError, RuntimeError, ValueError, MemoryError
