"""Small runs of the programs, for the experiments of this folder."""
import datetime
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from experiments.timing.turns import save
from multibox.archives import read_arrays
from multibox.data.synthetic import draw_set
from multibox.errors import UserError
from multibox.flags import make_parser

ROOT = Path(__file__).parents[2]
FLAGS = ['--model', 'slim300', '--batchsize', '2', '--cuts', '--snapshot-interval', '5',
         '--log-interval', '5']
AS_ROOT = dict.fromkeys(('OMPI_ALLOW_RUN_AS_ROOT', 'OMPI_ALLOW_RUN_AS_ROOT_CONFIRM'), '1')


def draw(folder: Path) -> Path:
    """Draw a data set of twelve images to train on and two to evaluate on."""
    draw_set(folder, n_train=12, n_test=2)
    return folder


def start(program: str, *flags: str | Path, ranks: int | None = None,
          **options: Any) -> subprocess.Popen:
    """Start a program in a session of its own, with its output in a pipe.

    Args:
        program: such as ``train.py``.
        flags: its flags.
        ranks: number of processes under mpiexec; None is one without it.
        options: of ``subprocess.Popen``.

    Raises:
        UserError: there is no mpiexec.
    """
    command = [sys.executable, ROOT / program, *flags]
    environment = {**os.environ}
    if ranks is not None:
        beside = shutil.which('mpiexec', path=Path(sys.executable).parent)
        mpiexec = beside or shutil.which('mpiexec')
        if mpiexec is None:
            raise UserError('mpiexec is missing; run make setup, or install an MPI')
        command = [mpiexec, '--oversubscribe', '--bind-to', 'none', '-n', str(ranks), *command]
        environment.update(AS_ROOT, OPENBLAS_NUM_THREADS='1', OMP_NUM_THREADS='1')
    return subprocess.Popen([*map(str, command)], start_new_session=True, env=environment,
                            **{'stdout': subprocess.PIPE, 'stderr': subprocess.PIPE, 'text': True,
                               **options})


def finish(process: subprocess.Popen) -> None:
    """Wait for a program that has to succeed.

    Raises:
        UserError: it failed.
    """
    output, errors = process.communicate()
    if process.returncode:
        raise UserError(f'{process.args}: failed with {process.returncode}\n{output}{errors}')


def equal(one: Path, other: Path) -> bool:
    """Whether two .npz files hold the same arrays, to the bit."""
    arrays, others = read_arrays(one), read_arrays(other)
    return arrays.keys() == others.keys() and all(
        array.dtype == others[name].dtype and array.shape == others[name].shape
        and array.tobytes() == others[name].tobytes() for name, array in arrays.items())


def main(name: str, description: str | None, arguments: dict[str, tuple[Any, str]],
         measure: Callable[..., dict], argv: Sequence[str] | None = None) -> None:
    """Run an experiment in an empty folder, write its results, and end with status 1 if it fails.

    Args:
        name: the name of the module.
        description: the text of ``--help``.
        arguments: {flag without dashes: (default, help)}; all are numbers.
        measure: function from the folder and the flags to the results, whose ``holds`` is the
            verdict.
        argv: the arguments; None means the command line.
    """
    parser = make_parser(description)
    for flag, (default, text) in arguments.items():
        parser.add_argument(f'--{flag}', type=type(default), default=default, metavar='N',
                            help=text)
    parser.add_argument('--out', type=Path, default=Path(f'result/reliability/{name}.json'),
                        metavar='FILE', help='file of the results')
    args = parser.parse_args(argv)
    given = {flag: getattr(args, flag.replace('-', '_')) for flag in arguments}
    begin = datetime.datetime.now(datetime.timezone.utc)
    with tempfile.TemporaryDirectory() as folder:
        results = measure(Path(folder), **{flag.replace('-', '_'): value
                                           for flag, value in given.items()})
    seconds = (datetime.datetime.now(datetime.timezone.utc) - begin).total_seconds()
    save(args.out, ' '.join([f'python -m experiments.reliability.{name}',
                             *(f'--{flag} {value}' for flag, value in given.items())]),
         {'date': begin.isoformat(timespec='seconds'), 'seconds': round(seconds), **results})
    print(f'{"holds" if results["holds"] else "DOES NOT HOLD"}: {results["summary"]}; written to '
          f'{args.out}')
    sys.exit(not results['holds'])


def newest(out: Path) -> int:
    """The iteration of the newest snapshot in a folder; 0 without one."""
    return max((int(match[1]) for path in out.glob('snapshot_iter_*')
                if (match := re.fullmatch(r'snapshot_iter_(\d+)', path.name))), default=0)
