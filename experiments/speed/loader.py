"""How much faster than ChainerCV's is the path of multibox from a photograph to an example?

    python -m experiments.speed.loader --data DIR

Both paths decode, augment and encode the same photographs with the same random draws, in turns, on
one core. Then their results are compared. Last, the loader runs with 0, 1, 2, ... processes.
"""
import collections
import itertools
import random
import statistics
import time
from pathlib import Path
from typing import Any

from experiments.speed.paths import ChainerCV, Multibox, Stages
from experiments.timing.turns import make_parser, ratio, save, take_turns
from multibox.data import Loader, MakeTargets, TrainingSequence, VOCDataset, drawn_set, load_data
from multibox.devices import available_cores
from multibox.errors import ending_together
from multibox.flags import check_numbers
from multibox.networks import MODELS, make_detector

import cv2
import numpy as np

BATCHSIZE = 8


def measure(paths: dict[str, Stages], n_images: int, repeat: int) -> dict[str, Any]:
    """Time the paths ``chainercv`` and ``ours`` in turns over the same images and seeds.

    Returns:
        ``ratio``, the speed-up; per path ``images per second and core`` and ``seconds`` turn by
        turn, and ``ms an image``, the medians of the stages.
    """
    stages = {name: [] for name in paths}

    def turn(name):
        path, seed = paths[name], len(stages[name]) * n_images  # another augmentation every turn
        path.seconds.clear()
        for i in range(n_images):
            path(i, seed + i)
        stages[name].append({stage: 1e3 * s / n_images for stage, s in path.seconds.items()})

    seconds = take_turns({name: lambda name=name: turn(name) for name in paths}, repeat)
    result = {'ratio': ratio(seconds['chainercv'], seconds['ours'])}
    for name in paths:
        result[name] = {
            'images per second and core': statistics.median(n_images / s for s in seconds[name]),
            'seconds': seconds[name],
            'ms an image': {stage: statistics.median(each[stage] for each in stages[name][1:])
                            for stage in stages[name][0]}}
    return result


def compare(paths: dict[str, Stages], n_images: int, repeat: int) -> dict[str, Any]:
    """The differences between the results of two paths; arguments as for :func:`measure`."""
    found = collections.defaultdict(list)
    for seed in range(n_images * repeat):
        (img, bbox, label, (_, mb_label), state), other = (
            (*path(seed % n_images, seed), random.getrandbits(32)) for path in paths.values())
        same = len(bbox) == len(other[1]) and (label == other[2]).all() and state == other[4]
        found['other draws or labels'].append(not same)
        found['grey levels'].append(abs(img - other[0]))
        found['default boxes matched otherwise'].append((mb_label != other[3][1]).sum())
        if same and len(bbox):
            found['box coordinates in pixels'].append(abs(bbox - other[1]).max())
    # ChainerCV's IoU rounds the areas of objects to float32, which decides between equal overlaps.
    return {'images': n_images * repeat,
            'other draws or labels': int(sum(found['other draws or labels'])),
            'default boxes matched otherwise': int(sum(found['default boxes matched otherwise'])),
            'box coordinates in pixels, largest': float(max(found['box coordinates in pixels'])),
            'grey levels, largest': float(max(each.max() for each in found['grey levels'])),
            'grey levels, mean': float(np.mean([each.mean() for each in found['grey levels']]))}


def _measure_loader(examples, model, n_processes, n_images, shared):
    """Time the loader, whose arrays come through shared memory or through a pipe."""
    targets = MakeTargets(model.coder, model.insize, model.mean)
    sequence = TrainingSequence(VOCDataset(examples, np.uint8), targets, 0, 2 * n_images)
    loader = Loader(sequence, BATCHSIZE, n_processes,
                    fields=targets.fields if shared else None)
    for _ in range(4):  # more than the batches loaded ahead
        next(loader)
    start, used = time.perf_counter(), time.process_time()
    n_batches = n_images // BATCHSIZE
    for _ in range(n_batches):
        next(loader)
    seconds, used = time.perf_counter() - start, time.process_time() - used
    loader.finalize()
    return {'processes': n_processes, 'shared memory': shared,
            'images per second': n_batches * BATCHSIZE / seconds,
            'ms of the main process an image': 1e3 * used / (n_batches * BATCHSIZE)}


def comparable(data: Any) -> list:
    """The training examples of one folder that have objects; ChainerCV's data set needs both."""
    folder = data.train.paths[0].parent
    return [example for example in data.train.examples
            if len(example.bbox) and example.path.parent == folder]


def main(argv: list[str] | None = None) -> None:
    """Run the program."""
    parser = make_parser(__doc__, 'result/speed/loader.json', 5)
    parser.add_argument('--data', type=Path, metavar='DIR',
                        help='folder in VOC layout (default: the built-in set)')
    parser.add_argument('--model', choices=sorted(MODELS), default='ssd300', help='the network')
    parser.add_argument('--images', type=int, default=200, metavar='N',
                        help='photographs in a turn')
    args = parser.parse_args(argv)
    check_numbers(args, ('repeat', 'images'), lowest=1)
    cv2.setNumThreads(0)
    data = load_data(args.data or drawn_set())
    examples = comparable(data)[:args.images]
    model = make_detector(args.model, len(data.label_names))
    paths = {'chainercv': ChainerCV(examples, data.label_names, model),
             'ours': Multibox(examples, model)}
    results = measure(paths, len(examples), args.repeat)
    for name in paths:
        print(f'{"multibox" if name == "ours" else name:10}'
              f'{results[name]["images per second and core"]:8.1f} images/s per core; ms: '
              + ', '.join(f'{k} {v:.2f}' for k, v in results[name]['ms an image'].items()))
    print('ratio: {median:.2f} ({min:.2f} to {max:.2f})'.format(**results['ratio']), flush=True)
    results['differences'] = compare(paths, len(examples), args.repeat)
    for name, value in results['differences'].items():
        print(f'  {name}: {value:.6g}')
    results['loader'] = []
    cases = [(0, False), *itertools.product(range(1, min(available_cores(), 8) + 1), (False, True))]
    for n_processes, shared in cases:
        results['loader'].append(
            _measure_loader(examples, model, n_processes, 3 * args.images, shared))
        print('loader: ' + ', '.join(f'{k} {v:.4g}' for k, v in results['loader'][-1].items()),
              flush=True)
    data_flag = f' --data {args.data.name}' if args.data else ''
    save(args.out, f'python -m experiments.speed.loader{data_flag} --model {args.model} '
         f'--images {args.images} --repeat {args.repeat}', results)


if __name__ == '__main__':
    with ending_together('experiments.speed.loader'):
        main()
