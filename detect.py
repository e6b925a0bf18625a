"""Find objects in photographs with a network that train.py wrote.

    python detect.py --model result/best.npz photo.jpg holidays/

Writes a picture with boxes per photograph, and all boxes, classes and scores to detections.json.
"""
import functools
import pathlib
import sys
from typing import NamedTuple

from multibox import engines
from multibox.data.images import add_max_pixels, find_images
from multibox.data.marked import mark
from multibox.data.pictures import SUFFIXES, Unreadable, read_resized
from multibox.data.pool import map_batches, map_files
from multibox.devices import is_gpu, select_device
from multibox.errors import UserError, ending_together
from multibox.evaluation.threshold import DEFAULT_THRESHOLD
from multibox.files import open_whole, write_json
from multibox.flags import (
    add_hardware_flags,
    check_all,
    check_numbers,
    check_out,
    check_path,
    make_parser,
)
from multibox.locks import Lock
from multibox.outputs import PictureNames, check_free, written_before
from multibox.processes import join_processes
from multibox.weights import load_model

import numpy as np

MAX_LISTED = 8  # detections in the line of a photograph
MAX_BOXES = 200  # per picture, as in the paper; the place of a name depends on all other names
LEAST_SCORE = 0.01  # a photograph without a score above this has nothing worth naming
N_PICTURES = 4  # that are drawn ahead; a large one takes some 100 MB


def main(argv=None):
    args = parse_args(argv)
    if join_processes().size > 1:
        raise UserError('detect.py is for one process; start it without mpiexec')
    each = functools.partial
    check_all(each(check_numbers, args, ('nms',) if args.score is None else ('score', 'nms'),
                   lowest=0, highest=1),
              each(check_numbers, args, ('batchsize', 'max_pixels'), lowest=1),
              each(check_path, args.model, 'give --model a model.npz'), each(check_out, args.out),
              *[each(check_path, path, 'give an image, or a folder of images')
                for path in args.images])
    paths = find_images(args.images)
    with Lock(args.out):
        search(args, paths)


def search(args, paths):
    """Detect in photographs, and write the results into the folder, which is locked."""
    names = PictureNames(args.out, earlier_pictures(args.out / 'detections.json'), paths)
    device = select_device(args.device)
    engines.set_up(device, args.conv or engines.fastest(is_gpu(args.device)))
    model, _, label_names = load_model(args.model)
    if args.score is None:
        args.score = DEFAULT_THRESHOLD if model.threshold is None else model.threshold
    model.score_thresh, model.nms_thresh = args.score, args.nms
    model.to_device(device)
    model.coder = BestBelow(model.coder)
    results, broken = [], {}
    batches = map_batches(read_resized, [(path, model.insize) for path in paths], args.batchsize,
                          args.max_pixels, overlap=is_gpu(args.device))
    try:
        for start, images in zip(range(0, len(paths), args.batchsize), batches):
            batch = list(zip(paths[start:], images))
            broken.update((path, str(img)) for path, img in batch if isinstance(img, Unreadable))
            batch = [(path, img) for path, img in batch if path not in broken]
            predicted = model.predict([img for _, img in batch]) if batch else ((), (), ())
            found = [find(path, img.shape[1:], *each, label_names, args.score)
                     for (path, img), *each in zip(batch, *predicted)]
            pictures = map_files(mark, [(each.path, *each.drawn) for each in found],
                                 args.max_pixels, N_PICTURES)
            for each, picture in zip(found, pictures):
                if isinstance(picture, Unreadable):  # it was readable a moment ago
                    broken[each.path] = str(picture)
                    results.append({**each.entry, 'picture': None})
                else:
                    name = names.choose(each.path.stem)
                    with open_whole(args.out / name) as file:
                        file.write(picture)
                    results.append({**each.entry, 'picture': name})
                print(each.line)
        n_removed = names.remove_rest()
    finally:  # the detections so far stay if the rest fails
        write_json(args.out / 'detections.json', {
            'model': str(args.model), 'score': args.score, 'nms': args.nms,
            'bbox': 'y_min, x_min, y_max, x_max in pixels; size: height, width', 'images': results,
            'unreadable': list(broken), 'earlier': sorted(names.rest)})
    for path, reason in broken.items():
        print(f'{path}: {reason}; left out', file=sys.stderr)
    n_found = sum(len(result['label']) for result in results)
    n_with = sum(bool(result['label']) for result in results)
    print(f'{n_found} objects in {n_with} of {len(paths)} photographs, from a score of '
          f'{args.score:.2f} on' + f'; {len(broken)} could not be read' * bool(broken))
    if n_removed:
        print(f'{n_removed} pictures of an earlier detect.py removed from {args.out}')
    print(f'{len(results)} pictures and detections.json in {args.out}')
    if broken:
        sys.exit(1)


def parse_args(argv=None):
    parser = make_parser(__doc__)
    parser.add_argument('images', type=pathlib.Path, nargs='+', metavar='IMAGE_OR_DIR',
                        help=f'an image, or a folder of {", ".join(SUFFIXES)}')
    parser.add_argument('--model', type=pathlib.Path, required=True, metavar='FILE',
                        help='a model.npz of train.py or of multibox.weights')
    parser.add_argument('--out', type=pathlib.Path, default=pathlib.Path('detections'),
                        metavar='DIR', help='folder for the results')
    parser.add_argument('--score', type=float, metavar='X', help='the lowest score of a reported '
                        'detection (default: the threshold in FILE, which gave the best F1 in its '
                        f'run; {DEFAULT_THRESHOLD} if there is none)')
    parser.add_argument('--nms', type=float, default=0.45, metavar='X', help='if two boxes of a '
                        'class have at least this IoU, only the better one is kept')
    parser.add_argument('--batchsize', type=int, default=8, metavar='N',
                        help='images that the network processes at once')
    add_max_pixels(parser)
    add_hardware_flags(parser, many_processes=False)
    return parser.parse_args(argv)


class BestBelow:
    """A network's coder that gives the best detection below the threshold if none reaches it.

    The detections from the threshold on are those of the coder itself. The best of all boxes needs
    no suppression, so an untrained network with thousands of candidates takes little more time.
    """

    def __init__(self, coder):
        self._coder = coder

    def decode_batch(self, mb_locs, mb_confs, nms_thresh, score_thresh):
        """As ``Coder.decode_batch`` of ``multibox.boxes``."""
        found = self._coder.decode_batch(mb_locs, mb_confs, nms_thresh, score_thresh)
        without = [i for i, score in enumerate(found[2]) if not len(score)]
        if without:
            others = self._coder.decode_batch(mb_locs[without], mb_confs[without], None,
                                              LEAST_SCORE)
            for i, *image in zip(without, *others):
                best = image[2].argsort()[-1:]
                for part, array in zip(found, image):
                    part[i] = array[best]
        return found


def earlier_pictures(path):
    """The names of the pictures that an earlier run wrote beside its detections.json.

    Raises:
        UserError: the file is not by detect.py.
    """
    content = written_before(path, ('model', 'score', 'nms', 'images', 'unreadable'))
    if not content:
        check_free(path.parent, [path.name])
    # An interrupted run has left pictures of the run before it.
    images, earlier = (part if isinstance(part := content.get(key), list) else []
                       for key in ('images', 'earlier'))
    names = [image.get('picture') for image in images if isinstance(image, dict)]
    return [name for name in names + earlier if isinstance(name, str)]


class Found(NamedTuple):
    """The detections in a photograph: its entry in detections.json, its line, and the boxes."""
    path: pathlib.Path
    entry: dict
    line: str
    drawn: tuple


def find(path, size, bbox, label, score, label_names, least):
    """Sort the detections in a photograph of (H, W) pixels, and put them in words."""
    order = np.argsort(-score, kind='stable')
    below = [f'{label_names[n]} {s:.2f}' for n, s in zip(label, score) if s < least]
    order = order[score[order] >= least]
    bbox, label, score = bbox[order], label[order], score[order]
    bbox = bbox.clip(0, np.tile(size, 2))  # a network's boxes may pass the edges
    names = [label_names[n] for n in label]
    captions = [f'{name} {s:.2f}' for name, s in zip(names, score)]
    nothing = f' from {least:.2f} on; the best below is {below[0]}' if below else ''
    more = f' and {len(captions) - MAX_LISTED} more' if len(captions) > MAX_LISTED else ''
    line = f'{path}: {", ".join(captions[:MAX_LISTED]) or "nothing" + nothing}{more}'
    entry = {'image': str(path), 'picture': None, 'size': list(size),
             'bbox': bbox.astype(float).round(2).tolist(), 'label': names,
             'score': score.astype(float).round(4).tolist()}
    return Found(path, entry, line, (bbox[:MAX_BOXES], label[:MAX_BOXES], captions[:MAX_BOXES]))


def command():
    """The command ``multibox-detect``."""
    with ending_together():
        main()


if __name__ == '__main__':
    command()
