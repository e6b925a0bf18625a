"""The choice among cuDNN's plans: by a table, which measurements fill.

cuDNN's heuristic is wrong by factors for some convolutions. Plans sum in different orders, so a
choice must repeat: a run measures once, and keeps its table. Without a table, the first plan of the
heuristic computes.
"""
import contextlib
import itertools
import math
import time
from collections.abc import Iterator
from typing import Any

from multibox.engines.convolution.forms import Form, Problem
from multibox.engines.convolution.graphs import OPERATIONS
from multibox.typing import Array

import numpy as np
from chainer.backends import cuda

SECONDS = .15  # for a convolution; plans that come later are not tried
LEAST = 8  # plans that are tried even if they take longer
REPEAT = 3  # runs of a plan, of which the fastest counts
BEFORE = 2 ** 28  # bytes that the GPU writes before a run, so that the host launches meanwhile


class Table:
    """The plans of a GPU by convolution.

    Args:
        plans: {key of a problem: plan}, where a plan is '<form>: <name>'.
        measures: whether problems that are not in the table are measured and put into it.

    Attributes:
        plans: as given, and those measured since.
        used: the keys that were asked for.
        lost: the keys whose plan cuDNN did not offer.
        times: {key: {plan: seconds}}, what was measured; the heuristic's first plan is the first.
    """

    def __init__(self, plans: dict[str, str] | None = None, measures: bool = False):
        self.plans, self.measures = dict(plans or {}), measures
        self.used: set[str] = set()
        self.lost: set[str] = set()
        self.times: dict[str, dict[str, float]] = {}

    def choose(self, problem: Problem, arrays: tuple[Array, ...]) -> Form:
        """The form and plan that compute a problem, ready to be called.

        Args:
            problem: the problem.
            arrays: arguments of the call, to measure with. The result is overwritten.
        """
        key = problem.key
        self.used.add(key)
        form = _build(problem, self.plans[key]) if key in self.plans else None
        if form is None and key in self.plans:
            self.lost.add(key)
        if form is None and self.measures:
            times = measure(problem, arrays)
            if times:
                self.times[key] = times
                self.plans[key] = min(times, key=lambda plan: times[plan])
                form = _build(problem, self.plans[key])
        if form is None:
            form = Form(problem)
            form.graph.build_first()
        return form


_table = Table()


def use(table: Table) -> None:
    """Choose plans by a table from now on, in the whole process."""
    global _table
    _table = table


@contextlib.contextmanager
def using(table: Table) -> Iterator[None]:
    """Choose plans by a table as long as the context lasts, in the whole process."""
    before = _table
    use(table)
    try:
        yield
    finally:
        use(before)


class Plan:
    """A problem that chooses its plan at the first call, and anew when another table is in use.

    Args:
        problem: the problem.

    Attributes:
        shape: shape of the result, in the order of the problem's ``shapes``.
    """

    def __init__(self, problem: Problem):
        self.shape = dict(problem.shapes)[OPERATIONS[problem.operation][1]]
        self._problem = problem
        self._table: Table | None = None
        self._form: Any = None

    def __call__(self, *arrays: Array) -> None:
        """Compute on the current stream; the arguments are those of :class:`Form`."""
        if self._table is not _table:
            self._form, self._table = _table.choose(self._problem, arrays), _table
        self._form(*arrays)


def measure(problem: Problem, arrays: tuple[Array, ...]) -> dict[str, float]:
    """Time the plans of all forms of a problem, which takes about :data:`SECONDS`.

    Args:
        problem: the problem.
        arrays: arguments of the call; the result is overwritten.

    Returns:
        {plan: seconds}, without plans that fail; the most promising plan of each form comes first.
    """
    times: dict[str, float] = {}
    end = time.monotonic() + SECONDS
    for plan, form, index in _candidates(problem):
        if len(times) >= LEAST and time.monotonic() > end:
            break
        if plan in times:  # several heuristics offer it
            continue
        try:
            form.graph.build(index)
            times[plan] = seconds(form, arrays, min(times.values(), default=math.inf))
        except _failures():
            continue
    return times


def _candidates(problem):
    """Yield (plan, form, index), one of each form in turn."""
    offers = []
    for name in problem.forms():
        with contextlib.suppress(*_failures()):
            form = Form(problem, name)
            offers.append([(f'{name}: {offer}', form, index)
                           for index, offer in enumerate(form.graph.offers())])
    for turn in itertools.zip_longest(*offers):
        yield from filter(None, turn)


def _build(problem, plan):
    """A form with a plan of this name; None if cuDNN does not offer it."""
    name, _, offer = plan.partition(': ')
    if name not in problem.forms():
        return None
    with contextlib.suppress(*_failures()):
        form = Form(problem, name)
        form.graph.build(form.graph.offers().index(offer))
        return form
    return None


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


def _failures() -> tuple[Any, ...]:
    """The errors of a plan that cannot be built or run."""
    import cudnn
    return cudnn.cudnnGraphNotSupportedError, RuntimeError, ValueError, MemoryError
