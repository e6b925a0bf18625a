"""Train for many iterations, and watch memory, threads and open files.

    python -m experiments.reliability.soak                       2,400 iterations
    python -m experiments.reliability.soak --iterations 60 --every 1    a short try

Between the middle and the end of the training nothing may grow: the medians of two windows are
compared, for train.py itself and for its loader processes together.
"""
import json
import statistics
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from experiments.reliability import processes, runs
from multibox.errors import UserError, ending_together

LIMITS = {'bytes': 2 ** 24, 'threads': 0, 'files': 0, 'shared': 0}  # of the growth
WINDOWS = (0.45, 0.6), (0.85, 1)  # shares of the iterations: the middle, and the end
MAX_STORED = 60  # samples
LOG = 20  # iterations between two entries of the log


def sample(leader: int) -> dict[str, dict[str, int]]:
    """The resources of a program, ``main``, and of its other processes together, ``others``."""
    found = {}
    for pid in processes.members(leader):
        if (used := processes.usage(pid)) is not None:
            name = 'main' if pid == leader else 'others'
            sums = found.setdefault(name, {'processes': 0, **dict.fromkeys(LIMITS, 0)})
            sums['processes'] += 1
            for key, value in used.items():
                sums[key] += len(value) if key == 'shared' else value
    return found


def iteration(out: Path) -> int:
    """The last iteration in the log of a run; 0 without a log."""
    try:
        return json.loads((out / 'log').read_text(encoding='utf-8'))[-1]['iteration']
    except (OSError, ValueError, IndexError):
        return 0


def verdict(samples: list[dict], total: int) -> dict[str, Any]:
    """The growth of the medians between the two windows, per name and resource.

    Args:
        samples: dicts with ``iteration`` and the entries of :func:`sample`.
        total: number of iterations of the run.

    Returns:
        ``growth`` and ``holds``.

    Raises:
        UserError: a window has no sample.
    """
    windows = [[each for each in samples if low * total <= each['iteration'] < high * total]
               for low, high in WINDOWS]
    growth: dict[str, dict] = {}
    for name in ('main', 'others'):
        chosen = [[each[name] for each in window if name in each] for window in windows]
        if not all(chosen):
            raise UserError(f'--every: is too long, so there is no sample of {name}; give less')
        growth[name] = {key: statistics.median(each[key] for each in chosen[1])
                        - statistics.median(each[key] for each in chosen[0]) for key in LIMITS}
    return {'growth': growth, 'holds': all(growth[name][key] <= limit for name in growth
                                           for key, limit in LIMITS.items())}


def measure(folder: Path, iterations: int, batchsize: int, every: float) -> dict[str, Any]:
    """Train on the built-in set, and take a sample every some seconds."""
    processes.check_system()
    out, samples, begin = folder / 'out', [], time.monotonic()
    with open(folder / 'output', 'w+', encoding='utf-8') as output:
        process = runs.start('train.py', '--iteration', str(iterations), '--batchsize',
                             str(batchsize), '--log-interval', str(LOG), '--out', out,
                             stdout=output, stderr=output)
        while process.poll() is None:
            done = iteration(out)
            if 0 < done < iterations:
                samples.append({'second': round(time.monotonic() - begin, 1), 'iteration': done,
                                **sample(process.pid)})
            time.sleep(every)
        output.seek(0)
        if process.returncode:
            raise UserError(f'train.py failed: {output.read()[-2000:]}')
    found = verdict(samples, iterations)
    main, others = (found['growth'][name]['bytes'] / 2 ** 20 for name in ('main', 'others'))
    peak = max(each['main']['bytes'] for each in samples if 'main' in each) / 2 ** 20
    return {'iterations': iterations, 'batchsize': batchsize, 'limits': LIMITS, **found,
            'peak_mib': round(peak), 'samples': samples[::-(-len(samples) // MAX_STORED)],
            'summary': f'{iterations:,} iterations, {peak:.0f} MiB at most; from the middle to the '
                       f'end {main:+.1f} MiB, its loader {others:+.1f} MiB'}


def main(argv: Sequence[str] | None = None) -> None:
    """Run the program."""
    runs.main('soak', __doc__, {
        'iterations': (2400, 'length of the run'), 'batchsize': (2, 'images per iteration'),
        'every': (3., 'seconds between two samples')}, measure, argv)


if __name__ == '__main__':
    with ending_together('experiments.reliability.soak'):
        main()
