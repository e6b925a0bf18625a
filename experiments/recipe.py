"""The recipes of experiments/recipes, one per published number, and their command lines."""
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

try:
    import tomllib
except ModuleNotFoundError:  # Python 3.10
    import tomli as tomllib

FOLDER = Path(__file__).parent / 'recipes'
FILES = ('07', '07+12', '07+12-expansion', '07++12', '07++12-expansion', 'table2', 'coco',
         'coco-expansion')  # in the order of the paper's tables
SOURCES = 'paper', 'chainercv', 'ssd.pytorch'  # of the published numbers


class Weights(NamedTuple):
    """Published weights: their owner, their score in percent as printed, and their address."""
    owner: str
    percent: str
    url: str


class Recipe(NamedTuple):
    """How to reproduce one published number.

    Attributes:
        name: the name on the command line.
        data: a data set of data.toml.
        test: the test set and the metric, in words.
        model: the architecture, as train.py names it.
        train: {flag: value}, the other flags of train.py; True for a flag without a value.
        expected: {source: (percent as printed, place of the number in the source)}.
        published: weights of the same recipe that others published.
        note: differences from the source, and settings that the source does not state.
        evaluate: {flag: value} of evaluate.py; empty if train.py's own evaluation is the score.
        classes: the class names for weights that come without names: voc or coco.
    """
    name: str
    data: str
    test: str
    model: str
    train: dict
    expected: dict
    published: list
    note: str
    evaluate: dict
    classes: str


def read_toml(name: str) -> dict:
    """Read a file of experiments/recipes by its name without the suffix."""
    return tomllib.loads((FOLDER / f'{name}.toml').read_text(encoding='utf-8'))


def read_recipes() -> dict[str, Recipe]:
    """Read all recipes by name, in the order of the paper's tables."""
    recipes = {}
    for file in FILES:
        content = read_toml(file)
        for own in content['recipe']:
            settings = {'evaluate': {}, 'classes': 'voc', **content['defaults'], **own}
            settings['train'] = {**content['defaults']['train'], **own.get('train', {})}
            settings['published'] = [Weights(**each) for each in own.get('published', ())]
            settings['note'] = ' '.join(settings['note'].split())
            recipes[own['name']] = Recipe(**settings)
    return recipes


def commands(recipe: Recipe, data: Path, device: str, out: Path, weights: Path | None = None,
             flags: Sequence[str] = ()) -> list[list[str]]:
    """The command lines that reproduce a number, without ``python``.

    Args:
        recipe: the recipe.
        data: folder of the data.
        device: the device, as train.py names it.
        out: folder of the results.
        weights: a file of published weights to evaluate, without any training.
        flags: further flags of train.py, or of evaluate.py if ``weights`` are given.
    """
    evaluate = ['evaluate.py', '--model', out / 'model.npz', '--data', data, '--device', device,
                *_flags(recipe.evaluate)]
    if weights is not None:
        lines = [['-m', 'multibox.weights', 'convert', weights, '--model', recipe.model,
                  '--classes', recipe.classes, '--out', out / 'model.npz'],
                 [*evaluate, '--out', out, *flags]]
    else:
        resume = ['--resume'] if list(out.glob('snapshot_iter_*')) else []
        lines = [['train.py', '--data', data, '--model', recipe.model, *_flags(recipe.train),
                  '--device', device, '--out', out, *resume, *flags]]
        if recipe.evaluate:
            lines.append([*evaluate, '--out', score_file(recipe, out).parent])
    return [[str(word) for word in line] for line in lines]


def score_file(recipe: Recipe, out: Path, weights: bool = False) -> Path:
    """The metrics.json with the score of a run.

    Args:
        recipe: the recipe.
        out: folder of the results.
        weights: whether published weights were evaluated.
    """
    return out / ('evaluation' if recipe.evaluate and not weights else '') / 'metrics.json'


def _flags(settings):
    """Flags of a command line: {'cuts': [1, 2], 'difficult': True} is --cuts 1 2 --difficult."""
    words = []
    for name, value in settings.items():
        values = [] if value is True else value if isinstance(value, list) else [value]
        words += [f'--{name}', *values]
    return words
