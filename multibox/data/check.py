"""The command that looks at a data set: ``python -m multibox.data check DIR``."""
import argparse
import pathlib
from collections.abc import Sequence

from multibox.data.annotations import Example
from multibox.data.load import describe, load_data
from multibox.data.splits import SPLITS
from multibox.data.voc import VOCData
from multibox.errors import ending_together
from multibox.files import write_json


def main(argv: Sequence[str] | None = None) -> None:
    """Read the command line, check the data set, and print and write the result."""
    args = parse_args(argv)
    data = load_data(args.data, difficult=args.difficult, strict=args.strict, split=args.split,
                     keep_difficult=True)
    print(describe(data))
    if args.json:
        write_json(args.json, to_json(data))
    if args.pictures:
        from multibox.data.gallery import save_pictures  # matplotlib takes a second to import
        print('pictures: ' + ', '.join(map(str, save_pictures(data, args.pictures))))


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser('python -m multibox.data', allow_abbrev=False,
                                     description='Look at a data set before training.')
    commands = parser.add_subparsers(dest='command', required=True, metavar='check')
    check = commands.add_parser(
        'check', allow_abbrev=False, help='read a folder as train.py does, and list its faults',
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
    return parser.parse_args(argv)


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
