"""The command that looks at a data set: ``python -m multibox.data check DIR``."""
import argparse
import pathlib
from collections import Counter
from collections.abc import Sequence

from multibox.data.annotations import Example
from multibox.data.images import add_max_pixels
from multibox.data.load import (
    count_difficult,
    describe,
    has_objects,
    look,
    nothing_usable,
    refuse,
)
from multibox.data.splits import SPLITS
from multibox.data.voc import VOCData, VOCDataset
from multibox.errors import UserError, ending_together
from multibox.files import write_json
from multibox.outputs import written_before
from multibox.parser import Parser

PICTURES = 'sample.png', 'statistics.png', 'positions.png'  # of multibox.data.gallery
RESULT = 'train', 'test', 'label_names', 'problems', 'notes'  # the keys of --json


def main(argv: Sequence[str] | None = None) -> None:
    """Read the command line, check the data set, and print and write the result."""
    args = parse_args(argv)
    _check_targets(args)
    try:
        data = read(args)
    except UserError as error:
        reason, *details = str(error).splitlines()
        reason += f' {details[0]}' if details and reason.endswith(':') else ''
        print('\n'.join(details), end='\n' * bool(details))
        raise UserError(reason) from None
    print(describe(data))
    for use, split, difficult in (('train', data.train, args.difficult),
                                  ('evaluate', data.test, False)):
        print(f'objects to {use}: {count_objects(split, data.label_names, difficult)}')
    if args.json:
        write_json(args.json, to_json(data))
    if args.pictures:
        from multibox.data.gallery import save_pictures  # matplotlib takes a second to import
        print('pictures: ' + ', '.join(map(str, save_pictures(data, args.pictures))))


def _check_targets(args):
    """Refuse to write over a file of the data set, but for an earlier result of this command."""
    pictures = [args.pictures / name for name in PICTURES] if args.pictures else []
    if all(path.exists() for path in pictures):
        pictures = []
    if args.json and not written_before(args.json, RESULT):
        pictures.append(args.json)
    for path in pictures:
        if args.data.resolve() in path.resolve().parents and path.exists():
            raise UserError(f'{path}: is a file in the data set, which would be overwritten; give '
                            'another name')


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = Parser(prog='python -m multibox.data',
                    description='Look at a data set before training.')
    commands = parser.add_subparsers(dest='command', required=True, metavar='check')
    check = commands.add_parser(
        'check', help='read a folder as train.py does, and list its faults',
        description='Reads DIR as train.py does. Prints the sets, the classes and all faults.')
    check.add_argument('data', type=pathlib.Path, metavar='DIR',
                       help='the folder, as for --data of train.py')
    check.add_argument('--json', type=pathlib.Path, metavar='FILE',
                       help='also write all images, boxes, problems and remarks')
    check.add_argument('--pictures', type=pathlib.Path, metavar='FOLDER',
                       help='also draw a sample of images with their boxes, and statistics')
    check.add_argument('--difficult', action='store_true',
                       help='train on objects marked difficult as well')
    check.add_argument('--strict', action='store_true',
                       help='end with an error if there is a fault')
    check.add_argument('--split', choices=SPLITS, default=SPLITS[1],
                       help='for a VOCdevkit: a split of the paper')
    add_max_pixels(check)
    return parser.parse_args(argv)


def read(args: argparse.Namespace) -> VOCData:
    """Read a data set as ``train.py`` does; one of its sets may be empty.

    Raises:
        UserError: there is nothing to train or evaluate on, or ``--max-pixels`` is below 1.
    """
    if args.max_pixels < 1:
        raise UserError(f'--max-pixels must be a number from 1, got {args.max_pixels}')
    try:
        data = look(args.data, split=args.split, max_pixels=args.max_pixels)
    except UserError as error:
        try:
            data = look(args.data, split=args.split, train=False, max_pixels=args.max_pixels)
        except UserError:
            raise error from None
        data.notes.append(f'can be evaluated on, but not trained on: {error}')
    if args.strict:
        refuse(data.problems, args.data)
    if not args.difficult:
        count_difficult(data, args.data)
    without = [use for use, split in (('train on', data.train), ('evaluate on', data.test))
               if not has_objects(split)]
    if len(without) == 2:
        raise UserError(nothing_usable(data, args.data, 'train on', data.train))
    data.notes.extend(f'{args.data}: holds no usable object to {use}' for use in without)
    return data


def count_objects(dataset: VOCDataset, label_names: tuple, difficult: bool) -> str:
    """The number of objects of each class in words, with or without difficult ones."""
    labels = Counter(n for example in dataset.examples
                     for n in example.label[difficult | ~example.difficult].tolist())
    return ', '.join(f'{name} {labels[n]}' for n, name in enumerate(label_names))


def to_json(data: VOCData) -> dict:
    """The data set in plain values.

    Args:
        data: the data set.

    Returns:
        dict with the keys ``train`` and ``test``, lists of examples; ``label_names``; ``problems``,
        a list of dicts with ``file``, ``object`` (int or None) and ``reason``; and ``notes``.
    """
    return {
        'train': [_example(example, data.label_names) for example in data.train.examples],
        'test': [_example(example, data.label_names) for example in data.test.examples],
        'label_names': list(data.label_names),
        'problems': [{'file': str(problem.file), 'object': problem.number,
                      'reason': problem.reason} for problem in data.problems],
        'notes': data.notes}


def _example(example: Example, label_names: tuple) -> dict:
    return {'image': str(example.path), 'size': list(example.size),
            'bbox': example.bbox.tolist(), 'label': [label_names[n] for n in example.label],
            'difficult': example.difficult.tolist(), 'ignored': example.ignored.tolist()}


def command() -> None:
    """The command ``python -m multibox.data``."""
    with ending_together('python -m multibox.data'):
        main()
