"""Do two settings differ? Paired t-tests over seeds, corrected for the number of comparisons."""
import math
import statistics
from typing import NamedTuple

import numpy as np

LEVEL = 0.05


class Difference(NamedTuple):
    """The difference of a variant from the baseline, seed by seed.

    Attributes:
        mean: mean of the differences.
        half_width: half of the 95 % confidence interval of the mean.
        p: probability of so large a mean if there is no difference, two-sided, uncorrected.
        is_significant: whether ``p`` stays below 0.05 after Holm's correction.
    """
    mean: float
    half_width: float
    p: float
    is_significant: bool = False


def compare(baseline: dict[int, float], variants: dict[str, dict[int, float]]
            ) -> dict[str, Difference]:
    """Compare variants with a baseline by the seeds that both have.

    Student's paired t-test supposes that the differences are normally distributed. With three
    seeds it finds only differences that are several times as large as their spread.

    Args:
        baseline: {seed: score}.
        variants: {name: {seed: score}}.

    Returns:
        {name: :class:`Difference`} of the variants with at least two common seeds.
    """
    found = {name: _test([runs[seed] - baseline[seed] for seed in sorted(runs.keys() & baseline)])
             for name, runs in variants.items() if len(runs.keys() & baseline) > 1}
    by_p = sorted(found, key=lambda name: found[name].p)
    for rank, name in enumerate(by_p):  # Holm 1979: stop at the first that fails
        if found[name].p * (len(by_p) - rank) >= LEVEL:
            break
        found[name] = found[name]._replace(is_significant=True)
    return found


def _test(differences):
    n, mean = len(differences), statistics.mean(differences)
    error = statistics.stdev(differences) / math.sqrt(n)
    if error == 0:  # equal runs, or a constant shift
        return Difference(mean, 0., float(mean == 0))
    return Difference(mean, quantile(1 - LEVEL, n - 1) * error, 1 - within(mean / error, n - 1))


def within(t: float, df: int) -> float:
    """P(-t < T < t) of Student's distribution with ``df`` degrees of freedom."""
    def integral(end):
        angle = (np.arange(20000) + 0.5) * (end / 20000)  # midpoints
        return end * np.mean(np.cos(angle) ** (df - 1))
    return float(integral(math.atan(abs(t) / math.sqrt(df))) / integral(math.pi / 2))


def quantile(probability: float, df: int) -> float:
    """The t with P(-t < T < t) = ``probability``, by bisection."""
    low, high = 0., 1e6
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (middle, high) if within(middle, df) < probability else (low, middle)
    return high
