"""Find objects in photographs with a network that train.py wrote.

    python detect.py --model result/model.npz photo.jpg holidays/

Writes a picture with the boxes for each photograph, and detections.json with all of them.
"""
import argparse
import pathlib
import sys

from multibox import convolution
from multibox.devices import available_cores, is_gpu, select_device, use_cores
from multibox.errors import UserError
from multibox.files import make_out, open_whole, write_json
from multibox.gpu import functions
from multibox.training import draw_boxes, ending_together, join_processes
from multibox.weights import load_model

import cv2
import numpy as np

DRAWN = 200  # boxes in a picture, as many as the paper keeps; to place a name, all are looked at
PNG_LEVEL = 1  # a third of the time of PIL's 6, for pictures some 7 % larger
SUFFIXES = '.jpg', '.jpeg', '.png', '.bmp', '.webp', '.tif', '.tiff'


def parse_args(argv=None):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('images', type=pathlib.Path, nargs='+', metavar='IMAGE_OR_DIR',
                        help=f'an image, or a folder of {", ".join(SUFFIXES)}')
    parser.add_argument('--model', type=pathlib.Path, required=True, metavar='FILE',
                        help='model.npz of train.py, or of multibox.weights')
    parser.add_argument('--out', type=pathlib.Path, default=pathlib.Path('detections'),
                        metavar='DIR', help='where everything is written (detections)')
    parser.add_argument('--score', type=float, default=0.5, metavar='X',
                        help='detections with a lower score are left out (0.5)')
    parser.add_argument('--nms', type=float, default=0.45, metavar='X',
                        help='of two boxes of a class with this IoU the better is kept (0.45)')
    parser.add_argument('--batchsize', type=int, default=8, metavar='N',
                        help='images given to the network at once (8)')
    parser.add_argument('--device', default='-1', help='-1, 0, @numpy or @cupy:0 (-1, the CPU)')
    parser.add_argument('--conv', choices=convolution.ENGINES,
                        help='what convolves (the fastest that this machine has)')
    return parser.parse_args(argv)


def check_args(args):
    for name, lowest, highest in (('score', 0, 1), ('nms', 0, 1), ('batchsize', 1, np.inf)):
        if not lowest <= getattr(args, name) <= highest:
            raise UserError(f'--{name} must be a number from {lowest} to {highest}, '
                            f'got {getattr(args, name)}')


def find_images(paths):
    """The files named, and those with an image's suffix in the folders named, sorted.

    Raises:
        UserError: a path does not exist, or there is no image at all.
    """
    found = []
    for path in paths:
        if not path.exists():
            raise UserError(f'{path}: no such file or folder')
        if path.is_dir():
            found += sorted(file for file in path.iterdir()
                            if file.is_file() and file.suffix.lower() in SUFFIXES)
        else:
            found.append(path)
    if not found:
        raise UserError(f'{", ".join(map(str, paths))}: no image with a suffix of '
                        + ', '.join(SUFFIXES))
    return found


def read(path):
    """(3, H, W) float32 RGB, upright as its EXIF says; None if it cannot be decoded."""
    try:
        img = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_COLOR)
    except (OSError, cv2.error):  # OpenCV raises for no bytes at all, and for too many pixels
        img = None
    if img is None:
        return None
    return cv2.cvtColor(img, cv2.COLOR_BGR2RGB).transpose(2, 0, 1).astype(np.float32)


def free_name(stem, taken):
    """A file name for the picture of ``stem`` that no other file has, whatever its case."""
    name, n = f'{stem}.png', 2
    while name.casefold() in taken:
        name, n = f'{stem}-{n}.png', n + 1
    taken.add(name.casefold())
    return name


def describe(path, img, bbox, label, score, label_names, out, taken):
    """Draw and print what was found in an image; its entry in detections.json, by falling score."""
    order = np.argsort(-score, kind='stable')
    bbox, label, score = bbox[order], label[order], score[order]
    names = [label_names[n] for n in label]
    said = [f'{name} {s:.2f}' for name, s in zip(names, score)]
    picture = free_name(path.stem, taken)
    with open_whole(out / picture) as file:
        draw_boxes(img, bbox[:DRAWN], label[:DRAWN], said[:DRAWN]).save(
            file, 'PNG', compress_level=PNG_LEVEL)
    print(f'{path}: {", ".join(said) or "nothing"}')
    return {'image': str(path), 'picture': picture, 'size': list(img.shape[1:]),
            'bbox': bbox.astype(float).round(2).tolist(), 'label': names,
            'score': score.astype(float).round(4).tolist()}


def main(argv=None):
    args = parse_args(argv)
    if join_processes() is not None:
        raise UserError('detect.py is for one process; start it without mpiexec')
    check_args(args)
    paths = find_images(args.images)
    device = select_device(args.device)
    convolution.install(args.conv or convolution.fastest(is_gpu(args.device)))
    if is_gpu(args.device):
        functions.install()
    convolution.keep_freed_memory()
    use_cores(available_cores())
    model, _, label_names = load_model(args.model)
    model.score_thresh, model.nms_thresh = args.score, args.nms
    model.to_device(device)
    make_out(args.out)
    results, broken = [], []
    taken = {path.name.casefold() for path in paths if path.parent.resolve() == args.out.resolve()}
    try:
        for start in range(0, len(paths), args.batchsize):
            batch = [(path, read(path)) for path in paths[start:start + args.batchsize]]
            broken += [path for path, img in batch if img is None]
            batch = [(path, img) for path, img in batch if img is not None]
            predicted = model.predict([img for _, img in batch]) if batch else ((), (), ())
            for (path, img), *found in zip(batch, *predicted):
                results.append(describe(path, img, *found, label_names, args.out, taken))
    finally:  # what was found stays when the rest cannot be
        write_json(args.out / 'detections.json', {
            'model': str(args.model), 'score': args.score, 'nms': args.nms,
            'bbox': 'y_min, x_min, y_max, x_max in pixels; size: height, width', 'images': results,
            'unreadable': broken})
    for path in broken:
        print(f'{path}: cannot be decoded as an image; left out', file=sys.stderr)
    print(f'{len(results)} pictures and detections.json in {args.out}')
    if broken:
        sys.exit(1)


if __name__ == '__main__':
    with ending_together('detect.py'):
        main()
