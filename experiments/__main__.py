"""Reproduce the paper's tables: one recipe per published number.

    python -m experiments list                                         all recipes
    python -m experiments run ssd300-07+12 --data VOCdevkit            train and evaluate
    python -m experiments run ssd300-07+12 --download                  download missing data first
    python -m experiments run ssd300-07+12 -- --batchsize 16           with more flags of train.py
    python -m experiments run ssd300-07+12-expansion --weights FILE    evaluate published weights
    python -m experiments table                                        compare the scores
"""
import argparse
import json
import shlex
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from experiments import downloads
from experiments.children import call, ending_first
from experiments.recipe import Recipe, commands, read_recipes, score_file
from experiments.table import table
from multibox.errors import UserError, ending_together
from multibox.files import write_json


def parse_args(argv: Sequence[str], recipes: Iterable[str]) -> argparse.Namespace:
    """Parse the arguments; ``flags`` holds the arguments after ``--``."""
    parser = argparse.ArgumentParser(
        prog='python -m experiments', description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    verbs = parser.add_subparsers(dest='verb', required=True, metavar='list | run | table')
    verbs.add_parser('list', help='the recipes, with published numbers, weights and notes')
    verbs.add_parser('table', help='published numbers beside those of multibox, as Markdown')
    run = verbs.add_parser('run', help='train and evaluate by one recipe')
    run.add_argument('name', choices=recipes, metavar='NAME', help='a recipe of the list')
    run.add_argument('--data', type=Path, metavar='DIR',
                     help='folder of the data (default: VOCdevkit, or COCO)')
    run.add_argument('--device', default='0', help='device, as train.py names it (default: 0)')
    run.add_argument('--weights', type=Path, metavar='FILE',
                     help='file of published weights to evaluate, without any training; with '
                     '--download, also their owner or the name of their file, as in the list')
    run.add_argument('--out', type=Path, metavar='DIR',
                     help='folder of the results (default: result/NAME, or result/NAME-weights)')
    run.add_argument('--download', action='store_true',
                     help='download the missing data, and the weights of --weights')
    run.add_argument('--mirror', metavar='URL', help='address of a folder with the files of '
                     '--download (default: the addresses of their owners)')
    run.add_argument('--dry-run', action='store_true', help='print the commands only')
    stop = argv.index('--') if '--' in argv else len(argv)
    args = parser.parse_args(argv[:stop])
    args.flags = argv[stop + 1:]
    return args


def weights(recipe: Recipe) -> list[str]:
    """The published weights of a recipe as lines of text."""
    return [f'  weights of {each.owner}, {each.percent}: {each.url}' for each in recipe.published]


def describe(recipe: Recipe) -> str:
    """A recipe as lines of text."""
    expected = ', '.join(f'{source} {percent} ({place})'
                         for source, (percent, place) in recipe.expected.items())
    return '\n'.join([f'{recipe.name}: {recipe.model}, {recipe.test}', f'  {expected}',
                      f'  {recipe.note}', *weights(recipe)])


def run(args: argparse.Namespace, recipe: Recipe, again: str) -> None:
    """Print the commands of a recipe and run them.

    Args:
        args: from :func:`parse_args`.
        recipe: the recipe.
        again: the command line of this program, for messages.

    Raises:
        UserError: the data or the weights are missing.
        SystemExit: a command failed; the exit status is that of the command.
    """
    data = args.data or downloads.default_folder(recipe.data)
    train = args.weights is None
    if args.mirror and not args.download:
        raise UserError('--mirror is for --download; give both')
    file = None
    if args.download and args.weights and not args.weights.is_file():
        file, args.weights = downloads.find_weights(recipe, args.weights)
    name = recipe.name if args.weights is None else f'{recipe.name}-weights'
    out = args.out or Path('result') / name
    lines = commands(recipe, data, args.device, out, args.weights, args.flags)
    printed = [shlex.join(['python', *line]) for line in lines]
    if args.dry_run:
        archives = downloads.lacking(recipe.data, data, train)[1] if args.download else []
        for archive in [file] * bool(file) + archives:
            print(f'# download {downloads.describe(archive, args.mirror)}')
        print('\n'.join(printed))
        return
    if file and not args.weights.is_file():
        downloads.download_weights(file, args.weights, args.mirror)
    if args.weights and not args.weights.is_file():
        known = '\n'.join(weights(recipe)) or '  no weights of this recipe were published'
        raise UserError(f'{args.weights}: no such file; give a file of published weights (of an '
                        f'archive, its .caffemodel), or add --download\n{known}')
    if args.download:
        downloads.download(recipe.data, data, train, args.mirror)
    message = downloads.missing(recipe.data, data, train)
    if message:
        raise UserError(f'{message}\nThen again: {again}')
    for command, line in zip(printed, lines):
        print(command, flush=True)
        status = call([sys.executable, *line])
        if status:
            sys.exit(status)
    path = score_file(recipe, out, args.weights is not None)
    if path.is_file():  # evaluate.py knows neither the training nor the owner of the weights
        write_json(path, {**json.loads(path.read_text(encoding='utf-8')), 'commands': printed})


def main(argv: Sequence[str] | None = None) -> None:
    """Run the program.

    Args:
        argv: the arguments; None means the command line.
    """
    recipes = read_recipes()
    argv = sys.argv[1:] if argv is None else argv
    args = parse_args(argv, recipes)
    if args.verb == 'list':
        print('\n\n'.join(map(describe, recipes.values())))
        print('\nDownload the data, and weights by their owner or file, with: python -m '
              'experiments run NAME --download [--weights FILE]')
    elif args.verb == 'table':
        print(table(recipes.values()))
    else:
        with ending_first():
            run(args, recipes[args.name], shlex.join(['python', '-m', 'experiments', *argv]))


if __name__ == '__main__':
    with ending_together('experiments'):
        main()
