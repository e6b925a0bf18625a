"""Runs that are killed at random moments and resumed, and compared with an undisturbed one."""
import contextlib
import os
import random
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from experiments.reliability import processes, runs


def kill(folder: Path, number: int, iterations: int, seed: int, choose: Callable[..., int],
         ranks: int | None = None) -> dict[str, Any]:
    """Kill a run until it has been killed often enough, and resume it each time.

    A run that ends before its kill is compared with the undisturbed one, and a new one begins. The
    moments are drawn evenly from the duration of the undisturbed run.

    Args:
        folder: an empty folder.
        number: how often to kill.
        iterations: length of a run.
        seed: seed of the moments.
        choose: function from a random generator and the process to the process id to kill.
        ranks: as for :func:`experiments.reliability.runs.start`.

    Returns:
        ``kills``, one dict per kill with the second and what was left; ``equal``, per run whether
        its model.npz is that of the undisturbed one, to the bit; ``faults``, messages of runs that
        failed by themselves; ``holds`` and ``summary``.
    """
    processes.check_system()
    rng, data = random.Random(seed), runs.draw(folder / 'data')
    flags = ['--data', data, *runs.FLAGS, '--iteration', str(iterations),
             '--eval-interval', str(iterations)]
    begin = time.monotonic()
    runs.finish(runs.start('train.py', *flags, '--out', folder / 'whole', ranks=ranks))
    duration, n_run = time.monotonic() - begin, 0
    kills: list[dict] = []
    equal: list[bool] = []
    faults: list[str] = []
    out = folder / 'killed-0'
    while not faults and (len(kills) < number or out.exists()):
        resume = ['--resume'] * bool(runs.newest(out))
        process = runs.start('train.py', *flags, '--out', out, *resume, ranks=ranks)
        second = rng.uniform(0, duration) if len(kills) < number else None
        files = _wait(process, second)
        if process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(choose(rng, process), signal.SIGKILL)
            with contextlib.suppress(subprocess.TimeoutExpired):  # one that is left holds the pipes
                process.communicate(timeout=30)
            kills.append({'second': round(second, 2), 'snapshot': runs.newest(out),
                          **processes.left(process.pid, files)})
            for pid in processes.members(process.pid):
                os.kill(pid, signal.SIGKILL)
            print(f'kill {len(kills)} of {number}: second {second:.1f} of {duration:.1f}, '
                  f'snapshot {runs.newest(out)}', flush=True)
        elif process.returncode:
            faults.append(process.communicate()[1][-1000:])
        else:
            process.communicate()
            equal.append(runs.equal(out / 'model.npz', folder / 'whole/model.npz'))
            n_run += 1
            out = folder / f'killed-{n_run}'
    n_left = sum(bool(each['running'] or each['shared']) for each in kills)
    return {'iterations': iterations, 'seed': seed, 'duration': round(duration, 1), 'kills': kills,
            'equal': equal, 'faults': faults,
            'holds': bool(equal) and all(equal) and not faults and not n_left,
            'summary': f'{len(kills)} kills, {sum(equal)} of {len(equal)} runs equal to the bit, '
                       f'{n_left} kills left something'}


def _wait(process: subprocess.Popen, seconds: float | None) -> set[str]:
    """Wait, at most until a program ends; returns its files in /dev/shm meanwhile."""
    files: set[str] = set()
    end = None if seconds is None else time.monotonic() + seconds
    while process.poll() is None and (end is None or time.monotonic() < end):
        files |= processes.shared(processes.members(process.pid))
        time.sleep(.1)
    return files
