"""Count the training examples on which the matching rules disagree.

    python -m experiments.formulations.matching                        the built-in set
    python -m experiments.formulations.matching --data my-photos       your photographs
"""
import itertools
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from multibox.boxes import RULES
from multibox.boxes.geometry import iou_with_default_boxes
from multibox.data import TrainingSequence, augment, drawn_set, load_data
from multibox.errors import ending_together
from multibox.files import write_json
from multibox.flags import check_numbers, make_parser
from multibox.networks import make_detector
from multibox.report.metrics import versions

import numpy as np


class Match:
    """Augment an image as in training, and match its objects by every rule.

    This is a transform of :class:`multibox.data.TrainingSequence`.

    Args:
        model: the network, for its default boxes.
    """

    def __init__(self, model: Any):
        self.model = model

    def __call__(self, img: np.ndarray, bbox: np.ndarray,
                 label: np.ndarray) -> tuple[int, dict[str, np.ndarray]]:
        """Match the objects of one image.

        Args:
            img: (3, H, W) array, RGB, 0 to 255.
            bbox: (R, 4) float32 array (y_min, x_min, y_max, x_max) in pixels.
            label: (R,) int32 array.

        Returns:
            ``(n_object, index)``: the number of objects after the augmentation, and per rule the
            (K,) int32 index of the matched object, -1 for background.
        """
        _, bbox, _ = augment(img, bbox, label, self.model.insize, self.model.mean)
        iou = iou_with_default_boxes(self.model.coder.default_bbox, bbox)
        return len(bbox), {name: rule(iou) for name, rule in RULES.items()}


def count(examples: Iterable[tuple[int, dict]]) -> dict:
    """Sum up the results of :class:`Match`.

    Args:
        examples: ``(n_object, index)`` per image.

    Returns:
        Numbers of images and objects, and per rule of positive boxes and of objects without a box.
        ``disagreements`` counts, per pair of rules, the images and the boxes whose matches
        differ.
    """
    totals = {'images': 0, 'objects': 0, 'positives': dict.fromkeys(RULES, 0),
              'objects_without_a_box': dict.fromkeys(RULES, 0), 'disagreements': {}}
    for n_object, index in examples:
        totals['images'] += 1
        totals['objects'] += n_object
        for name, matched in index.items():
            totals['positives'][name] += int((matched >= 0).sum())
            totals['objects_without_a_box'][name] += n_object - len(set(matched[matched >= 0]))
        for one, other in itertools.combinations(RULES, 2):
            pair = totals['disagreements'].setdefault(f'{one}, {other}', {'images': 0, 'boxes': 0})
            n_box = int((index[one] != index[other]).sum())
            pair['boxes'] += n_box
            pair['images'] += n_box > 0
    return totals


def main() -> None:
    """Run the program."""
    parser = make_parser(__doc__)
    parser.add_argument('--data', type=Path, metavar='DIR',
                        help='folder in VOC layout (default: the built-in set)')
    parser.add_argument('--epochs', type=int, default=5, metavar='N',
                        help='passes over the images')
    parser.add_argument('--seed', type=int, default=0, metavar='N',
                        help='seed of the augmentation')
    parser.add_argument('--out', type=Path, metavar='FILE', help='JSON file to write')
    args = parser.parse_args()
    check_numbers(args, ('epochs',), lowest=1)
    check_numbers(args, ('seed',), lowest=0)
    data = load_data(args.data or drawn_set())
    model = make_detector('slim300', len(data.label_names))  # SSD300's boxes
    sequence = TrainingSequence(data.train, Match(model), args.seed, args.epochs * len(data.train))
    totals = count(sequence[t] for t in range(len(sequence)))
    print(f'{totals["images"]} augmented images, {totals["objects"]} objects')
    for name in RULES:
        print(f'{name:>24}: {totals["positives"][name]} positives, '
              f'{totals["objects_without_a_box"][name]} objects without a box')
    for pair, differ in totals['disagreements'].items():
        print(f'{pair:>24}: differ in {differ["images"]} images, at {differ["boxes"]} boxes')
    if args.out:
        write_json(args.out, {**totals, 'epochs': args.epochs, 'seed': args.seed,
                              'versions': versions()})


if __name__ == '__main__':
    with ending_together('matching'):
        main()
