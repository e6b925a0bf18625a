"""Detections in the file format of PASCAL's evaluation server."""
from collections.abc import Iterable
from pathlib import Path

from multibox.errors import UserError
from multibox.files import make_out, open_whole

SUBMISSION = 'results/VOC2012/Main/comp4_det_test_'  # the beginning of a file's name


def write_submission(out: Path, paths: Iterable[Path], predictions: Iterable[list],
                     label_names: tuple) -> Path:
    """Write ``results/VOC2012/Main/comp4_det_test_CLASS.txt`` into a folder, one file per class.

    A line holds the name of an image, a score, and the left, top, right and bottom of a box in
    pixels, which count from 1.
    Competition 4 is for networks trained on more data than VOC, such as networks that start from
    ImageNet weights (Everingham et al., VOC2012 development kit).

    Args:
        out: the folder.
        paths: the image files; their stems are the names of the images in VOC.
        predictions: (bboxes, labels, scores), lists of (R, 4) float32, (R,) int32 and (R,)
            float32 arrays, one array per image; see docs/conventions.md.
        label_names: the classes, in the order of their numbers.

    Returns:
        The folder that holds the files.

    Raises:
        UserError: a file cannot be written, or the name of a class would lead to another folder.
    """
    for name in label_names:
        if '/' in name or '\0' in name:
            raise UserError(f'the class {name!r} cannot be part of the name of a file; rename it')
    folder = (out / SUBMISSION).parent
    make_out(folder)
    lines: list[list[str]] = [[] for _ in label_names]
    for path, *objects in zip(paths, *predictions):
        for (y_min, x_min, y_max, x_max), label, score in zip(*objects):
            lines[label].append(f'{path.stem} {score:.6f} {x_min + 1:.2f} {y_min + 1:.2f} '
                                f'{x_max + 1:.2f} {y_max + 1:.2f}\n')
    for name, found in zip(label_names, lines):
        with open_whole(out / f'{SUBMISSION}{name}.txt') as file:
            file.write(''.join(found).encode())
    return folder
