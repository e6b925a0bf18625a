"""The paper's tables as commands.

    python -m experiments list                                 what there is
    python -m experiments run ssd300-07+12 --data VOCdevkit    train, evaluate
    python -m experiments run ssd300-07+12-expansion --weights FILE    published weights instead
    python -m experiments run ssd300-07+12 -- --batchsize 16   more flags, for train.py
    python -m experiments table                                published numbers, and ours
"""
import argparse
import json
import pathlib
import shlex
import sys

from experiments.children import call, ending_first
from experiments.recipe import commands, default_folder, missing, read_recipes, score_file
from experiments.table import table
from multibox.errors import UserError
from multibox.files import write_json
from multibox.training import ending_together


def parse_args(argv, recipes):
    """Flags of the command, and what stands behind ``--`` as ``flags``."""
    parser = argparse.ArgumentParser(
        prog='python -m experiments', description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    verbs = parser.add_subparsers(dest='verb', required=True, metavar='list | run | table')
    verbs.add_parser('list', help='names, expected numbers, notes')
    verbs.add_parser('table', help='published numbers and ours, as Markdown')
    run = verbs.add_parser('run', help='one recipe')
    run.add_argument('name', choices=recipes, metavar='NAME')
    run.add_argument('--data', type=pathlib.Path, metavar='DIR', help='(VOCdevkit, or COCO)')
    run.add_argument('--device', default='0', help='as of train.py (0)')
    run.add_argument('--weights', type=pathlib.Path, metavar='FILE',
                     help='evaluate these published weights, and train nothing')
    run.add_argument('--out', type=pathlib.Path, metavar='DIR',
                     help='(result/NAME, or result/NAME-weights)')
    run.add_argument('--dry-run', action='store_true', help='only print the commands')
    stop = argv.index('--') if '--' in argv else len(argv)
    args = parser.parse_args(argv[:stop])
    args.flags = argv[stop + 1:]
    return args


def weights(recipe):
    """The published weights of a recipe as lines of text."""
    return [f'  weights of {owner}, {number}: {url}' for owner, number, url in recipe.published]


def describe(recipe):
    """A recipe as lines of text."""
    expected = ', '.join(f'{source} {number} ({place})'
                         for source, (number, place) in recipe.expected.items())
    return '\n'.join([f'{recipe.name}: {recipe.model}, {recipe.test}', f'  {expected}',
                      f'  {recipe.note}', *weights(recipe)])


def run(args, recipe, again):
    """Print the commands of a recipe and run them, or say what they lack.

    Args:
        args: from :func:`parse_args`.
        recipe: :class:`experiments.recipe.Recipe`.
        again: str, this command.
    """
    data = args.data or default_folder(recipe.data)
    name = recipe.name if args.weights is None else f'{recipe.name}-weights'
    out = args.out or pathlib.Path('result') / name
    lines = commands(recipe, data, args.device, out, args.weights, args.flags)
    printed = [shlex.join(['python', *line]) for line in lines]
    if args.dry_run:
        print('\n'.join(printed))
        return
    if args.weights and not args.weights.is_file():
        known = '\n'.join(weights(recipe)) or '  no weights of this recipe were published'
        raise UserError(f'{args.weights}: no such file; there are (of an archive, unpack it and '
                        f'give its .caffemodel)\n{known}')
    lacking = missing(recipe.data, data, train=args.weights is None)
    if lacking:
        raise UserError(f'{lacking}\nThen again: {again}')
    for command, line in zip(printed, lines):
        print(command, flush=True)
        ended = call([sys.executable, *line])
        if ended:
            sys.exit(ended)
    path = score_file(recipe, out, args.weights is not None)
    if path.is_file():  # an evaluation knows neither how its network was trained nor whose it was
        write_json(path, {**json.loads(path.read_text(encoding='utf-8')), 'commands': printed})


def main(argv=None):
    recipes = read_recipes()
    argv = sys.argv[1:] if argv is None else argv
    args = parse_args(argv, recipes)
    if args.verb == 'list':
        print('\n\n'.join(map(describe, recipes.values())))
    elif args.verb == 'table':
        print(table(recipes.values()))
    else:
        with ending_first():
            run(args, recipes[args.name], shlex.join(['python', '-m', 'experiments', *argv]))


if __name__ == '__main__':
    with ending_together('experiments'):
        main()
