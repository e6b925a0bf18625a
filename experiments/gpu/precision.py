"""Does training in fewer bits change the loss by more than the seed does?

    python -m experiments.gpu.precision -- --data bccd          the folder of the photographs

SSD300 trains for 500 iterations from `hed` weights, in every precision with three seeds. Runs with
the same seed see the same images. After training, losses.json gives the mean loss of each precision
over its seeds, entry by entry of the log, and its distance from that of float32, in standard
deviations over the seeds of float32.
"""
import json
import statistics
import sys
from pathlib import Path
from typing import Any

from experiments import trainings
from experiments.gpu.bccd import with_loader
from experiments.timing.gpu_clock import gpu_name
from multibox.engines import PRECISIONS
from multibox.errors import ending_together
from multibox.files import write_json

FLAGS = ['--iteration', '500', '--model', 'ssd300', '--pretrained', 'hed', '--device', '0',
         '--log-interval', '25', '--precision']
AXES = {'precision': {name: [*FLAGS, name] for name in PRECISIONS}}
OUT = 'result/gpu/precision'


def losses(out: Path) -> dict[str, list[list[float]]]:
    """The losses of the runs in a folder, entry by entry of their logs.

    Args:
        out: folder of the runs, ``--out`` of :mod:`experiments.trainings`.

    Returns:
        {precision: a list of losses per run}.
    """
    found = {}
    for path in sorted((out / 'runs').glob('*.json')):
        precision = json.loads(path.read_text())['settings']['precision']
        log = json.loads((out / path.stem / 'log').read_text())
        found.setdefault(precision, []).append([entry['main/loss'] for entry in log])
    return found


def compare(runs: dict[str, list[list[float]]]) -> dict[str, dict[str, Any]]:
    """Mean curves, and their distances from that of float32 in deviations over its seeds.

    Args:
        runs: from :func:`losses`, with at least two seeds of float32.

    Returns:
        {precision: dict} of ``loss``, a list, and ``mean_distance``, without a sign.
    """
    baseline = [*zip(*runs['float32'])]
    found = {}
    for precision, curves in runs.items():
        mean = [statistics.mean(losses) for losses in zip(*curves)]
        distances = [abs(loss - statistics.mean(seeds)) / statistics.stdev(seeds)
                     for loss, seeds in zip(mean, baseline)]
        found[precision] = {'loss': mean, 'mean_distance': statistics.mean(distances)}
    return found


def main(argv: list[str] | None = None) -> None:
    """Run the program; losses.json is written even if a run fails."""
    argv = sys.argv[1:] if argv is None else argv
    out = trainings.parse_args(__doc__, AXES, OUT, argv).out
    gpu_name()  # one line, not one per run
    try:
        trainings.main(__doc__, AXES, OUT, with_loader(argv))
    finally:
        runs = losses(out)
        if len(runs.get('float32', ())) > 1:
            found = compare(runs)
            write_json(out / 'losses.json', found)
            for name, curve in found.items():
                print(f'{name}: last loss {curve["loss"][-1]:.3f}, on average '
                      f'{curve["mean_distance"]:.2f} deviations from float32')


if __name__ == '__main__':
    with ending_together('experiments.gpu.precision'):
        main()
