"""Detections as the files PASCAL's evaluation server takes."""
from multibox.files import open_whole


def write_submission(out, paths, predictions, label_names):
    """Write ``results/VOC2012/Main/comp4_det_test_CLASS.txt`` into a folder, a file for each class.

    A line is an image, a score and a box, left, top, right, bottom, in pixels that count from 1.
    Competition 4 is the one for networks that have seen more than VOC, as those that start from
    ImageNet have (Everingham et al., VOC2012 development kit).

    Args:
        out: pathlib.Path of the folder.
        paths: the image files; their stems are VOC's names of the images.
        predictions: (bboxes, labels, scores), lists of (R, 4) float32, (R,) int32 and (R,)
            float32 arrays, an array an image; see README "Data conventions".
        label_names: the classes, in the order of their numbers.

    Returns:
        pathlib.Path of the folder of the files.

    Raises:
        UserError: a file cannot be written.
    """
    folder = out / 'results' / 'VOC2012' / 'Main'
    folder.mkdir(parents=True, exist_ok=True)
    lines = [[] for _ in label_names]
    for path, *objects in zip(paths, *predictions):
        for (y_min, x_min, y_max, x_max), label, score in zip(*objects):
            lines[label].append(f'{path.stem} {score:.6f} {x_min + 1:.2f} {y_min + 1:.2f} '
                                f'{x_max + 1:.2f} {y_max + 1:.2f}\n')
    for name, found in zip(label_names, lines):
        with open_whole(folder / f'comp4_det_test_{name}.txt') as file:
            file.write(''.join(found).encode())
    return folder
