"""Train SSD300 from `hed` weights on the photographs of BCCD on a GPU, three seeds.

    python -m experiments.gpu.bccd -- --data bccd          the folder of the photographs

Behind it, duration.json: minutes and average precision of each run, and how long the 120k
iterations of 32 images of VOC 07+12 would take at the speed of these.
"""
import itertools
import json
import statistics
import sys

from experiments import trainings
from multibox.devices import available_cores
from multibox.files import write_json

AXES = {'iteration': {'3000': ['--iteration', '3000', '--model', 'ssd300', '--pretrained', 'hed',
                               '--device', '0']}}
OUT = 'result/gpu/bccd'
VOC = 120000  # iterations of the recipe of PASCAL VOC


def seconds_an_iteration(log):
    """Median over the entries of a run's log; those with an evaluation are left out.

    Args:
        log: list of dicts, as Chainer writes them.
    """
    seconds = []
    for before, entry in itertools.pairwise(log):
        if 'validation/main/map' not in entry:
            n = entry['iteration'] - before['iteration']
            seconds.append((entry['elapsed_time'] - before['elapsed_time']) / n)
    return statistics.median(seconds)


def durations(out):
    """What the runs in a folder took, and what the recipe of PASCAL VOC would.

    Args:
        out: pathlib.Path, ``--out`` of ``experiments.trainings``.

    Returns:
        {name of the run: dict}.
    """
    found = {}
    for path in sorted((out / 'runs').glob('*.json')):
        metrics = json.loads(path.read_text())
        seconds = seconds_an_iteration(json.loads((out / path.stem / 'log').read_text()))
        found[path.stem] = {
            'map': metrics['map'], 'ap': metrics['ap'], 'minutes': metrics['seconds'] / 60,
            'images_a_second': metrics['settings']['batchsize'] / seconds,
            'hours_of_120k_iterations_computed': VOC * seconds / 3600,
            'hardware': metrics['hardware'], 'precision': metrics['settings']['precision']}
    return found


def with_loader(argv):
    """The words of a command line with a loader process for every core but one; a GPU is fast."""
    stop = argv.index('--') if '--' in argv else len(argv)
    workers = ['--loader-processes', str(max(1, available_cores() - 1))]
    return [*argv[:stop], '--', *workers, *argv[stop + 1:]]


def main(argv=None):
    argv = sys.argv[1:] if argv is None else argv
    out = trainings.parse_args(__doc__, AXES, OUT, argv).out
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
    main()
