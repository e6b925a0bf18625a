"""Train SSD300 from `hed` weights on the photographs of BCCD on a GPU, with three seeds.

    python -m experiments.gpu.bccd -- --data bccd          the folder of the photographs

After training, duration.json gives the minutes and the average precision of each run. It also gives
the hours that the recipe of VOC 07+12, 120,000 iterations of 32 images, would take at this speed.
"""
import itertools
import json
import statistics
import sys
from pathlib import Path
from typing import Any

from experiments import trainings
from experiments.timing.gpu_clock import gpu_name
from multibox.devices import available_cores
from multibox.errors import ending_together
from multibox.files import write_json

AXES = {'iteration': {'3000': ['--iteration', '3000', '--model', 'ssd300', '--pretrained', 'hed',
                               '--device', '0']}}
OUT = 'result/gpu/bccd'
VOC = 120000  # iterations of the recipe of PASCAL VOC


def seconds_per_iteration(log: list[dict]) -> float:
    """The median over the entries of a run's log; entries with an evaluation are left out.

    Args:
        log: list of dicts, as Chainer writes it.
    """
    seconds = []
    for before, entry in itertools.pairwise(log):
        if 'validation/main/map' not in entry:
            n = entry['iteration'] - before['iteration']
            seconds.append((entry['elapsed_time'] - before['elapsed_time']) / n)
    return statistics.median(seconds)


def durations(out: Path) -> dict[str, dict[str, Any]]:
    """The durations and scores of the runs in a folder, and the computed duration for VOC.

    Args:
        out: folder of the runs, ``--out`` of :mod:`experiments.trainings`.

    Returns:
        {name of the run: dict}.
    """
    found = {}
    for path in sorted((out / 'runs').glob('*.json')):
        metrics = json.loads(path.read_text())
        seconds = seconds_per_iteration(json.loads((out / path.stem / 'log').read_text()))
        found[path.stem] = {
            'map': metrics['map'], 'ap': metrics['ap'], 'minutes': metrics['seconds'] / 60,
            'images_a_second': metrics['settings']['batchsize'] / seconds,
            'hours_of_120k_iterations_computed': VOC * seconds / 3600,
            'hardware': metrics['hardware'], 'precision': metrics['settings']['precision']}
    return found


def with_loader(argv: list[str]) -> list[str]:
    """A command line with a loader process for every core but one; a GPU needs many images."""
    stop = argv.index('--') if '--' in argv else len(argv)
    workers = ['--loader-processes', str(max(1, available_cores() - 1))]
    return [*argv[:stop], '--', *workers, *argv[stop + 1:]]


def main(argv: list[str] | None = None) -> None:
    """Run the program; duration.json is written even if a run fails."""
    argv = sys.argv[1:] if argv is None else argv
    out = trainings.parse_args(__doc__, AXES, OUT, argv).out
    gpu_name()  # one line, not one per run
    try:
        trainings.main(__doc__, AXES, OUT, with_loader(argv))
    finally:
        found = durations(out)
        write_json(out / 'duration.json', found)
        for name, run in found.items():
            print(f'{name}: mAP {run["map"]:.4f} in {run["minutes"]:.1f} min, '
                  f'{run["images_a_second"]:.0f} images/s; 120k iterations of VOC 07+12, computed: '
                  f'{run["hours_of_120k_iterations_computed"]:.1f} h')


if __name__ == '__main__':
    with ending_together('experiments.gpu.bccd'):
        main()
