"""How often the three matching rules disagree on the examples a network is trained on.

    python -m experiments.formulations.matching                        the built-in set
    python -m experiments.formulations.matching --data my-photos       your own
"""
import argparse
import itertools
import pathlib

from multibox.data import TrainingSequence, drawn_set, load_voc
from multibox.data.augmentation import augment
from multibox.detectors import make_detector
from multibox.errors import UserError
from multibox.files import write_json
from multibox.matching import RULES, iou_with_default_boxes
from multibox.training import ending_together, versions


class Match:
    """Augments an image as in training and matches its objects by every rule."""

    def __init__(self, model):
        self.model = model

    def __call__(self, img, bbox, label):
        """As a transform of :class:`TrainingSequence`: objects, and (K,) matches by rule."""
        _, bbox, _ = augment(img, bbox, label, self.model.insize, self.model.mean)
        iou = iou_with_default_boxes(self.model.coder.default_bbox, bbox)
        return len(bbox), {name: rule(iou) for name, rule in RULES.items()}


def count(examples):
    """Totals over an iterable of what :class:`Match` returns."""
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


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--data', type=pathlib.Path, metavar='DIR', help='(the built-in set)')
    parser.add_argument('--epochs', type=int, default=5, help='passes over the images (5)')
    parser.add_argument('--seed', type=int, default=0, help='of the augmentation (0)')
    parser.add_argument('--out', type=pathlib.Path, metavar='FILE', help='write the numbers there')
    args = parser.parse_args()
    if args.epochs < 1:
        raise UserError(f'--epochs must be a number from 1, got {args.epochs}')
    data = load_voc(args.data or drawn_set())
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
