"""The paper's tables as commands.

    python -m experiments list                                 what there is
    python -m experiments run ssd300-07+12 --data VOCdevkit    train, evaluate
    python -m experiments run ssd300-07+12-expansion --weights FILE    published weights instead
    python -m experiments run ssd300-07+12 -- --batchsize 16   more flags, for train.py
    python -m experiments table                                published numbers, and ours
"""
import argparse
import pathlib
import shlex
import subprocess
import sys

from experiments.recipe import commands, default_folder, missing, read_recipes
from experiments.table import table
from multibox.errors import UserError
from multibox.files import make_out
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


def describe(recipe):
    """A recipe as lines of text."""
    expected = ', '.join(f'{source} {number} ({place})'
                         for source, (number, place) in recipe.expected.items())
    weights = [f'  weights of {owner}, {number}: {url}'
               for owner, number, url in recipe.published]
    return '\n'.join([f'{recipe.name}: {recipe.model}, {recipe.test}', f'  {expected}',
                      f'  {recipe.note}', *weights])


def run(args, recipe):
    """Print the commands of a recipe and run them, or say what they lack."""
    data = args.data or default_folder(recipe.data)
    name = recipe.name if args.weights is None else f'{recipe.name}-weights'
    out = args.out or pathlib.Path('result') / name
    lines = commands(recipe, data, args.device, out, args.weights, args.flags)
    if args.dry_run:
        print('\n'.join(shlex.join(['python', *line]) for line in lines))
        return
    lacking = missing(recipe.data, data)
    if lacking:
        raise UserError(f'{lacking}\nThen again: python -m experiments run {recipe.name} '
                        f'--data {data}')
    if args.weights and not args.weights.is_file():
        raise UserError('\n  '.join([
            f'{args.weights}: no such file; download one of these (of an archive, unpack it and '
            'give its .caffemodel)', *(url for _, _, url in recipe.published)]))
    if args.weights:
        make_out(out)
    for line in lines:
        print(shlex.join(['python', *line]), flush=True)
        ended = subprocess.run([sys.executable, *line]).returncode
        if ended:
            sys.exit(ended)


def main(argv=None):
    recipes = read_recipes()
    args = parse_args(sys.argv[1:] if argv is None else argv, recipes)
    if args.verb == 'list':
        print('\n\n'.join(map(describe, recipes.values())))
    elif args.verb == 'table':
        print(table(recipes.values()))
    else:
        run(args, recipes[args.name])


if __name__ == '__main__':
    with ending_together('experiments'):
        main()
