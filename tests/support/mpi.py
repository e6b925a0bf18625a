"""Start programs under the mpiexec that is installed beside this Python."""
import os
import pathlib
import shutil
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[2]
MPIEXEC = shutil.which('mpiexec', path=pathlib.Path(sys.executable).parent)
needs_proc = pytest.mark.skipif(
    not pathlib.Path('/proc/self/task').exists(), reason='no /proc to find child processes in')
needs_mpiexec = pytest.mark.skipif(MPIEXEC is None, reason='no mpiexec beside this Python')


def start(n, *arguments):
    """Start ``mpiexec -n N python ARGUMENTS`` in the background. If n is None, omit mpiexec."""
    mpiexec = [] if n is None else [MPIEXEC, '--oversubscribe', '--bind-to', 'none', '-n', str(n)]
    return subprocess.Popen(
        [*mpiexec, sys.executable, *map(str, arguments)], text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={
            **os.environ, 'PYTHONPATH': str(ROOT), 'OPENBLAS_NUM_THREADS': '1',
            'OMPI_ALLOW_RUN_AS_ROOT': '1', 'OMPI_ALLOW_RUN_AS_ROOT_CONFIRM': '1'})


def run(n, *arguments, timeout=120):
    """Like ``start``, but wait up to ``timeout`` seconds. Returns a CompletedProcess."""
    process = start(n, *arguments)
    try:
        output, errors = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        process.kill()
        raise
    return subprocess.CompletedProcess(process.args, process.returncode, output, errors)


def descendants(pid):
    """Process ids of all descendants of a process (Linux)."""
    try:
        children = [int(child) for task in pathlib.Path(f'/proc/{pid}/task').iterdir()
                    for child in (task / 'children').read_text().split()]
    except OSError:
        return []
    return [number for child in children for number in (child, *descendants(child))]


def is_alive(pid):
    """Whether a process exists and is no zombie."""
    try:
        return pathlib.Path(f'/proc/{pid}/stat').read_text().rpartition(')')[2].split()[0] != 'Z'
    except OSError:
        return False


def signal_ranks(process, number):
    """Send a signal to every process that ``mpiexec`` started, as SLURM does before the end."""
    children = pathlib.Path(f'/proc/{process.pid}/task/{process.pid}/children')
    for child in children.read_text().split():
        os.kill(int(child), number)
