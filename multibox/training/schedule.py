"""The iterations at which the parts of a run work."""
from typing import Any


class Every:
    """A trigger: every few iterations, and at the end of the run.

    It keeps no state, so a resumed run needs none.

    Args:
        intervals: numbers of iterations; the trigger fires at the multiples of each.
        stop: the :class:`multibox.training.Stop` that knows the end of the run.
        at_end: whether the trigger fires at the end of the run; False means never at the end.
    """

    def __init__(self, *intervals: int, stop: Any, at_end: bool = True):
        self.intervals, self.stop, self.at_end = intervals, stop, at_end

    def __call__(self, trainer: Any) -> bool:
        iteration = trainer.updater.iteration
        if self.stop.is_last(iteration):
            return self.at_end
        return any(iteration % interval == 0 for interval in self.intervals)
