"""Run the measurements of a GPU within some minutes, the most important first.

    python -m experiments.gpu.all --minutes 10

A profile of the step of SSD300 with 32 images and the step beside PyTorch, in every precision; then
training that the loader feeds, the loss, and the rest. Each is a process of its own with a time
limit, and writes a file into the folder of the results while it runs. One that fails or takes too
long does not end the others. all.json lists the commands with their ends.
"""
import importlib.util
import shlex
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

from experiments.children import call, ending_first
from experiments.timing.gpu_clock import gpu_name
from experiments.timing.turns import save
from multibox.errors import UserError, ending_together
from multibox.flags import check_numbers, make_parser

PRECISIONS = 'float16', 'bfloat16', 'tf32', 'float32'  # the most important first
LEAST = 10  # seconds; no measurement is begun with less


class Measurement(NamedTuple):
    """A module of experiments.gpu to run.

    Attributes:
        module: name of the module.
        limit: seconds after which it is killed.
        flags: its arguments, without ``--out``.
        name: name of its file, without the suffix.
    """
    module: str
    limit: float
    flags: str = ''
    name: str = ''

    def command(self, out: Path) -> list[str]:
        """The arguments of Python that run the measurement into the folder ``out``."""
        return ['-m', f'experiments.gpu.{self.module}', *self.flags.split(), '--out',
                str(out / f'{self.name or self.module}.json')]


MEASUREMENTS = [
    *[Measurement('profile', 90, f'--precision {name}', f'profile-{name}') for name in PRECISIONS],
    Measurement('step', 300, f'--quick --only steps --precisions {" ".join(PRECISIONS)}'),
    Measurement('step', 90, '--quick --only fed --precisions float16', 'fed'),
    Measurement('loss', 90, '--repeat 8'),
    Measurement('detections', 90),
    Measurement('ops', 90),
    Measurement('convolution', 300, '--models ssd300'),
]


def exists(measurement: Measurement) -> bool:
    """Whether this version has the module of a measurement."""
    return importlib.util.find_spec(f'experiments.gpu.{measurement.module}') is not None


def run(measurement: Measurement, out: Path, seconds: float) -> dict[str, Any]:
    """Run a measurement in a process of its own.

    Args:
        measurement: the measurement.
        out: folder of the results.
        seconds: the time that is left, which can shorten the limit of the measurement.

    Returns:
        ``command``; ``end``, ``'good'``, ``'left out'`` or the kind of the failure; ``seconds``.
    """
    words = measurement.command(out)
    command = shlex.join(['python', *words])
    limit = min(seconds, measurement.limit)
    if limit < LEAST:
        return {'command': command, 'end': 'left out', 'seconds': 0}
    print(f'\n{command}', flush=True)
    begin = time.monotonic()
    try:
        status = call([sys.executable, *words], limit)
        end = f'exit status {status}' if status else 'good'
    except subprocess.TimeoutExpired:
        end = f'killed after {limit:.0f} s'
    return {'command': command, 'end': end, 'seconds': time.monotonic() - begin}


def main(argv: list[str] | None = None) -> None:
    """Run the program.

    Raises:
        UserError: there is no GPU, or a measurement failed; the message lists those that did.
    """
    parser = make_parser(__doc__)
    parser.add_argument('--minutes', type=float, default=10, metavar='X', help='time for all')
    parser.add_argument('--out', type=Path, default=Path('result/gpu'), metavar='DIR',
                        help='folder of the results')
    args = parser.parse_args(argv)
    check_numbers(args, ('minutes',), lowest=0)
    results: dict[str, Any] = {'gpu': gpu_name(), 'measurements': []}
    end = time.monotonic() + 60 * args.minutes
    with ending_first():
        for measurement in filter(exists, MEASUREMENTS):
            results['measurements'].append(run(measurement, args.out, end - time.monotonic()))
            save(args.out / 'all.json',
                 f'python -m experiments.gpu.all --minutes {args.minutes:g}', results)
    bad = [f'{each["command"]}: {each["end"]}' for each in results['measurements']
           if each['end'] != 'good']
    if bad:
        raise UserError('\n  '.join(['measurements without an end:', *bad]))


if __name__ == '__main__':
    with ending_together('experiments.gpu.all'):
        main()
