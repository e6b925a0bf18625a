"""The choice among cuDNN's plans: by a table, which measurements fill.

cuDNN's heuristic is wrong by factors for some convolutions. Plans sum in different orders, so a
choice must repeat: a run measures once, and keeps its table. Without a table, the first plan of the
heuristic computes.
"""
import contextlib
from collections.abc import Iterator
from typing import Any

from multibox.engines.convolution.forms import Form, Problem
from multibox.engines.convolution.graphs import OPERATIONS
from multibox.engines.convolution.timing import failures, fastest, measure
from multibox.typing import Array


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
            form, times = measure(problem, arrays)
            if form is not None:
                self.times[key] = times
                self.plans[key] = fastest(times)
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


def _build(problem, plan):
    """A form with a plan of this name; None if cuDNN does not offer it."""
    name, _, offer = plan.partition(': ')
    if name not in problem.forms():
        return None
    with contextlib.suppress(*failures()):
        form = Form(problem, name)
        form.graph.build(form.graph.offers().index(offer))
        return form
    return None
