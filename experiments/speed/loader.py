"""How much faster than ChainerCV's does our path go from a photograph to a training example?

    python -m experiments.speed.loader --data DIR

Both decode, augment and encode the same photographs with the same draws, by turns, on one core;
then outcomes are compared, and the loader runs with 0, 1, 2, .. processes.
"""
import argparse
import collections
import itertools
import pathlib
import random
import statistics
import time

from experiments.speed.turns import ratio, save, take_turns
from multibox.data import (
    Loader,
    MakeTargets,
    TrainingSequence,
    VOCDataset,
    augmentation,
    drawn_set,
    load_voc,
    seed_all,
)
from multibox.data.rendering import render
from multibox.detectors import MODELS, make_detector
from multibox.devices import available_cores

import cv2
import numpy as np
from chainercv import transforms
from chainercv.datasets import VOCBboxDataset
from chainercv.datasets.voc import voc_utils
from chainercv.links import SSD300, SSD512
from chainercv.links.model.ssd import (
    random_crop_with_bbox_constraints,
    random_distort,
    resize_with_random_interpolation,
)

STEPS = augmentation.AUGMENTATIONS['full']
BATCHSIZE = 8


def parse_args(argv=None):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--data', type=pathlib.Path, metavar='DIR',
                        help='a VOC-layout folder (default: the built-in drawn set)')
    parser.add_argument('--model', choices=sorted(MODELS), default='ssd300', help='(ssd300)')
    parser.add_argument('--images', type=int, default=200, metavar='N',
                        help='photographs in a turn (200)')
    parser.add_argument('--repeat', type=int, default=5, metavar='N', help='turns of each (5)')
    parser.add_argument('--out', type=pathlib.Path, metavar='FILE',
                        default=pathlib.Path('result/speed/loader.json'))
    return parser.parse_args(argv)


class Path:
    """From image ``i`` to its training example, and the seconds that each stage took in all."""

    def __init__(self):
        self.seconds = collections.Counter()

    def timed(self, stage, call, *args, **kwargs):
        start = time.perf_counter()
        result = call(*args, **kwargs)
        self.seconds[stage] += time.perf_counter() - start
        return result


class ChainerCV(Path):
    """Its data set, the steps of its trainer, its coder."""

    def __init__(self, examples, label_names, model):
        super().__init__()
        voc_utils.voc_bbox_label_names = tuple(name.lower() for name in label_names)
        folder = examples[0].path.parents[1]
        split = next(split for split in ('trainval', 'train', 'val')
                     if (folder / f'ImageSets/Main/{split}.txt').is_file())
        self.dataset = VOCBboxDataset(str(folder), split)
        self.dataset.ids = [example.path.stem for example in examples]
        # Only its coder is used: the weights stay without values.
        detector = (SSD512 if model.insize == 512 else SSD300)(n_fg_class=len(label_names))
        self.coder, self.size, self.mean = detector.coder, model.insize, model.mean

    def __call__(self, i, seed):
        bbox, label = self.timed('annotation', self.dataset.get_example_by_keys, i, (1, 2))
        img, = self.timed('decode', self.dataset.get_example_by_keys, i, (0,))
        seed_all(seed)
        img = self.timed('distort', random_distort, img)
        img, bbox = self.timed('expand', self.expand, img, bbox)
        img, bbox, label = self.timed('crop', self.crop, img, bbox, label)
        img, bbox = self.timed('resize', self.resize, img, bbox)
        img, bbox = self.timed('flip', self.flip, img, bbox)
        img = self.timed('subtract mean', lambda: img - self.mean)
        return img, bbox, label, self.timed('encode', self.coder.encode, bbox, label)

    def expand(self, img, bbox):
        if np.random.randint(2):
            img, at = transforms.random_expand(img, fill=self.mean, return_param=True)
            bbox = transforms.translate_bbox(bbox, at['y_offset'], at['x_offset'])
        return img, bbox

    def crop(self, img, bbox, label):
        img, at = random_crop_with_bbox_constraints(img, bbox, return_param=True)
        bbox, kept = transforms.crop_bbox(bbox, at['y_slice'], at['x_slice'],
                                          allow_outside_center=False, return_param=True)
        return img, bbox, label[kept['index']]

    def resize(self, img, bbox):
        to = self.size, self.size
        bbox = transforms.resize_bbox(bbox, img.shape[1:], to)
        return resize_with_random_interpolation(img, to), bbox

    def flip(self, img, bbox):
        img, flip = transforms.random_flip(img, x_random=True, return_param=True)
        return img, transforms.flip_bbox(bbox, (self.size, self.size), x_flip=flip['x_flip'])


class Ours(Path):
    """What multibox.data does; it reads the annotations once, before."""

    def __init__(self, examples, model):
        super().__init__()
        self.dataset = VOCDataset(examples, dtype=np.uint8)
        self.coder, self.size = model.coder, model.insize
        self.mean = np.asarray(model.mean, np.float32)

    def __call__(self, i, seed):
        img, bbox, label, _ = self.timed('decode', self.dataset.__getitem__, i)
        seed_all(seed)
        plan = self.timed('draw', augmentation.draw, *img.shape[1:], bbox, STEPS)
        bbox, kept = self.timed('boxes', augmentation.move_boxes, bbox, plan, self.size)
        label = label[kept]
        img = self.timed('render', render, img, plan, self.size, self.mean)
        img = self.timed('subtract mean', np.subtract, img, self.mean, out=img)
        return img, bbox, label, self.timed('encode', self.coder.encode, bbox, label)


def measure(paths, n_images, repeat):
    """Time the paths by turns over the same images and seeds, and their stages."""
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


def compare(paths, n_images, repeat):
    """Largest and mean differences between the outcomes, and how many labels and draws differ."""
    found = collections.defaultdict(list)
    for seed in range(n_images * repeat):
        outcomes = []
        for path in paths.values():
            outcomes.append((*path(seed % n_images, seed), random.getrandbits(32)))
        (img, bbox, label, (_, mb_label), state), ours = outcomes[0], outcomes[1]
        same = len(bbox) == len(ours[1]) and (label == ours[2]).all() and state == ours[4]
        found['other draws or labels'].append(not same)
        found['grey levels'].append(abs(img - ours[0]))
        found['default boxes matched otherwise'].append((mb_label != ours[3][1]).sum())
        if same and len(bbox):
            found['box coordinates in pixels'].append(abs(bbox - ours[1]).max())
    # ChainerCV's IoU rounds the objects' areas to float32, which decides between equal overlaps.
    return {'images': n_images * repeat,
            'other draws or labels': int(sum(found['other draws or labels'])),
            'default boxes matched otherwise': int(sum(found['default boxes matched otherwise'])),
            'box coordinates in pixels, largest': float(max(found['box coordinates in pixels'])),
            'grey levels, largest': float(max(each.max() for each in found['grey levels'])),
            'grey levels, mean': float(np.mean([each.mean() for each in found['grey levels']]))}


def load(examples, model, n_processes, n_images, shared):
    """Images per second of the loader, and what each costs the main process."""
    targets = MakeTargets(model.coder, model.insize, model.mean)
    example_bytes = targets.nbytes if shared else 0
    sequence = TrainingSequence(VOCDataset(examples, np.uint8), targets, 0, 2 * n_images)
    loader = Loader(sequence, BATCHSIZE, n_processes, example_bytes=example_bytes)
    for _ in range(4):  # past what is loaded ahead
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


def comparable(data):
    """Examples of one folder, with objects: ChainerCV's data set knows no others."""
    folder = data.train.paths[0].parent
    return [example for example in data.train.examples
            if len(example.bbox) and example.path.parent == folder]


def main(argv=None):
    args = parse_args(argv)
    cv2.setNumThreads(0)
    data = load_voc(args.data or drawn_set())
    examples = comparable(data)[:args.images]
    model = make_detector(args.model, len(data.label_names))
    paths = {'chainercv': ChainerCV(examples, data.label_names, model),
             'ours': Ours(examples, model)}
    results = measure(paths, len(examples), args.repeat)
    for name in paths:
        print(f'{name:10}{results[name]["images per second and core"]:8.1f} images/s a core; ms: '
              + ', '.join(f'{k} {v:.2f}' for k, v in results[name]['ms an image'].items()))
    print('ratio: {median:.2f} ({min:.2f} to {max:.2f})'.format(**results['ratio']), flush=True)
    results['differences'] = compare(paths, len(examples), args.repeat)
    for name, value in results['differences'].items():
        print(f'  {name}: {value:.6g}')
    results['loader'] = []
    cases = [(0, False), *itertools.product(range(1, min(available_cores(), 8) + 1), (False, True))]
    for n_processes, shared in cases:
        results['loader'].append(load(examples, model, n_processes, 3 * args.images, shared))
        print('loader: ' + ', '.join(f'{k} {v:.4g}' for k, v in results['loader'][-1].items()),
              flush=True)
    data_flag = f' --data {args.data.name}' if args.data else ''
    save(args.out, f'python -m experiments.speed.loader{data_flag} --model {args.model} '
         f'--images {args.images} --repeat {args.repeat}', results)


if __name__ == '__main__':
    main()
