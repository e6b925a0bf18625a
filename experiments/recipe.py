"""The recipes of experiments/recipes: one for every published number that can be run."""
import configparser
import pathlib
from typing import NamedTuple

FOLDER = pathlib.Path(__file__).parent / 'recipes'
FILES = ('07', '07+12', '07+12-expansion', '07++12', '07++12-expansion', 'table2', 'coco',
         'coco-expansion')
SOURCES = 'paper', 'chainercv', 'ssd.pytorch'  # whose numbers stand beside ours


class Recipe(NamedTuple):
    """How one number is made.

    Attributes:
        name: what the command line calls it.
        data: a section of data.ini.
        test: what the number is, in words.
        model: architecture, as train.py names it.
        train: list of str, the other flags of train.py.
        evaluate: list of str, flags of evaluate.py for the score; empty where training's own
            evaluation gives it.
        classes: for weights without names: voc or coco.
        expected: {source: (percent as printed, where it stands)}.
        published: list of (owner, percent as printed, URL) of weights.
        note: what differs from the source, or is not known of it.
    """
    name: str
    data: str
    test: str
    model: str
    train: list
    evaluate: list
    classes: str
    expected: dict
    published: list
    note: str


def _read(path):
    parser = configparser.ConfigParser(interpolation=configparser.ExtendedInterpolation())
    parser.read_string(path.read_text(encoding='utf-8'))
    return parser


def _lines(text):
    """Lines of 'a, b, c' as lists."""
    return [line.split(', ') for line in text.strip().splitlines()]


def read_recipes():
    """Read all recipes: {name: :class:`Recipe`}, in the order of the paper's tables."""
    recipes = {}
    for file in FILES:
        parser = _read(FOLDER / f'{file}.ini')
        for name in parser.sections():
            section = parser[name]
            recipes[name] = Recipe(
                name, section['data'], section['test'], section['model'],
                section['train'].split(), section.get('evaluate', '').split(),
                section.get('classes', 'voc'),
                {source: section[source].split(', ', 1) for source in SOURCES if source in section},
                _lines(section.get('published', '')), ' '.join(section['note'].split()))
    return recipes


def default_folder(data):
    """Where data are looked for without --data: pathlib.Path."""
    return pathlib.Path(_read(FOLDER / 'data.ini')[data]['folder'])


def missing(data, folder, train=True):
    """What to download, if a folder lacks it.

    Args:
        data: a section of data.ini.
        folder: pathlib.Path, of the data or of what holds them.
        train: False for what a test needs alone.

    Returns:
        str for the user, or None if everything is there.
    """
    section = _read(FOLDER / 'data.ini')[data]
    archives = [*(_lines(section['train']) if train else ()), *_lines(section['test'])]
    lacking = min(([archive for archive in archives if not (place / archive[-1]).exists()]
                   for place in (folder, folder / section['folder'])), key=len)
    if not lacking:
        return None
    paths = ', '.join(path for _, _, _, path in lacking)
    lines = '\n'.join(f'  {name}, {size}: {url}' for name, size, url, _ in lacking)
    return (f'{folder}: lacks {paths}. Download\n{lines}\n'
            f'unpack ({section["unpack"]}), and give the folder with --data.')


def commands(recipe, data, device, out, weights=None, flags=()):
    """The command lines that make the number, each a list of str.

    Args:
        recipe: :class:`Recipe`.
        data: folder of the data.
        device: as train.py takes it.
        out: folder of the results.
        weights: file of published weights to evaluate instead of training.
        flags: more for train.py, or for evaluate.py where nothing is trained.
    """
    evaluate = ['evaluate.py', '--model', out / 'model.npz', '--data', data, '--device', device]
    if weights is not None:
        lines = [['-m', 'multibox.weights', 'convert', weights, '--model', recipe.model,
                  '--classes', recipe.classes, '--out', out / 'model.npz'],
                 [*evaluate, *recipe.evaluate, '--out', out, *flags]]
    else:
        resume = ['--resume'] if list(out.glob('snapshot_iter_*')) else []
        lines = [['train.py', '--data', data, '--model', recipe.model, *recipe.train,
                  '--device', device, '--out', out, *resume, *flags]]
        if recipe.evaluate:
            lines.append([*evaluate, *recipe.evaluate, '--out', score_file(recipe, out).parent])
    return [[str(word) for word in line] for line in lines]


def score_file(recipe, out, weights=False):
    """The metrics.json with the score of a run in ``out``: pathlib.Path."""
    return out / ('evaluation' if recipe.evaluate and not weights else '') / 'metrics.json'
