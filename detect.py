"""Find objects in photographs with a network that train.py wrote.

    python detect.py --model result/best.npz photo.jpg holidays/

Writes a picture with boxes per photograph, and all boxes, classes and scores to detections.json.
"""
import functools
import pathlib
import sys

from multibox import engines
from multibox.data.images import find_images
from multibox.data.pictures import SUFFIXES, Unreadable, read_upright
from multibox.devices import is_gpu, select_device
from multibox.drawing import draw_boxes
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
PNG_LEVEL = 1  # takes a third of the time of Pillow's default 6; pictures are about 7 % larger


def main(argv=None):
    args = parse_args(argv)
    if join_processes().size > 1:
        raise UserError('detect.py is for one process; start it without mpiexec')
    each = functools.partial
    check_all(each(check_numbers, args, ('nms',) if args.score is None else ('score', 'nms'),
                   lowest=0, highest=1),
              each(check_numbers, args, ('batchsize',), lowest=1),
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
    try:
        for start in range(0, len(paths), args.batchsize):
            batch = []
            for path in paths[start:start + args.batchsize]:
                try:
                    batch.append((path, read_upright(path)))
                except Unreadable as error:
                    broken[path] = str(error)
            predicted = model.predict([img for _, img in batch]) if batch else ((), (), ())
            for (path, img), *found in zip(batch, *predicted):
                results.append(save_picture(path, img, *found, label_names, args, names))
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
    print(f'{n_found} objects in {n_with} of {len(results)} photographs, from a score of '
          f'{args.score:.2f} on')
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
    add_hardware_flags(parser, many_processes=False)
    return parser.parse_args(argv)


class BestBelow:
    """A network's coder that gives the best detection below the threshold if none reaches it.

    The detections from the threshold on are those of the coder itself. The best of all boxes needs
    no suppression, so an untrained network with thousands of candidates takes little more time.
    """

    def __init__(self, coder):
        self._coder = coder

    def decode(self, mb_loc, mb_conf, nms_thresh, score_thresh):
        """As ``Coder.decode`` of ``multibox.boxes``."""
        found = self._coder.decode(mb_loc, mb_conf, nms_thresh, score_thresh)
        if len(found[2]):
            return found
        bbox, label, score = self._coder.decode(mb_loc, mb_conf, None, LEAST_SCORE)
        best = score.argsort()[-1:]
        return bbox[best], label[best], score[best]


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


def save_picture(path, img, bbox, label, score, label_names, args, names):
    """Draw, save and print the detections in an image; returns its entry in detections.json."""
    order = np.argsort(-score, kind='stable')
    below = [f'{label_names[n]} {s:.2f}' for n, s in zip(label, score) if s < args.score]
    order = order[score[order] >= args.score]
    bbox, label, score = bbox[order], label[order], score[order]
    bbox = bbox.clip(0, np.tile(img.shape[1:], 2))  # a network's boxes may pass the edges
    classes = [label_names[n] for n in label]
    captions = [f'{name} {s:.2f}' for name, s in zip(classes, score)]
    picture = names.choose(path.stem)
    with open_whole(args.out / picture) as file:
        draw_boxes(img, bbox[:MAX_BOXES], label[:MAX_BOXES], captions[:MAX_BOXES]).save(
            file, 'PNG', compress_level=PNG_LEVEL)
    nothing = f' from {args.score:.2f} on; the best below is {below[0]}' if below else ''
    more = f' and {len(captions) - MAX_LISTED} more' if len(captions) > MAX_LISTED else ''
    print(f'{path}: {", ".join(captions[:MAX_LISTED]) or "nothing" + nothing}{more}')
    return {'image': str(path), 'picture': picture, 'size': list(img.shape[1:]),
            'bbox': bbox.astype(float).round(2).tolist(), 'label': classes,
            'score': score.astype(float).round(4).tolist()}


def command():
    """The command ``multibox-detect``."""
    with ending_together():
        main()


if __name__ == '__main__':
    command()
