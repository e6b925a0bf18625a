"""Does training in fewer bits stay within what the seed changes? Loss curves of 500 iterations.

    python -m experiments.gpu.precision -- --data bccd          the folder of the photographs

SSD300 from `hed` weights in every precision with three seeds, whose images are the same whatever
the precision. Behind it, losses.json: of each precision, the mean loss over its seeds entry by
entry of the log, and how far it is from that of float32, in standard deviations of float32's seeds.
"""
import json
import statistics
import sys

from experiments import trainings
from experiments.gpu.bccd import with_loader
from multibox.convolution import PRECISIONS
from multibox.files import write_json

FLAGS = ['--iteration', '500', '--model', 'ssd300', '--pretrained', 'hed', '--device', '0',
         '--log-interval', '25', '--precision']
AXES = {'precision': {name: [*FLAGS, name] for name in PRECISIONS}}
OUT = 'result/gpu/precision'


def losses(out):
    """The loss over the iterations, by precision.

    Args:
        out: pathlib.Path, ``--out`` of ``experiments.trainings``.

    Returns:
        {precision: [a run's list of losses]}, of the runs that are there.
    """
    found = {}
    for path in sorted((out / 'runs').glob('*.json')):
        precision = json.loads(path.read_text())['settings']['precision']
        log = json.loads((out / path.stem / 'log').read_text())
        found.setdefault(precision, []).append([entry['main/loss'] for entry in log])
    return found


def compare(runs):
    """Mean curves, and their distances from float32's in deviations of its seeds.

    Args:
        runs: from :func:`losses`; float32 with two seeds at least.

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


def main(argv=None):
    argv = sys.argv[1:] if argv is None else argv
    out = trainings.parse_args(__doc__, AXES, OUT, argv).out
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
    main()
