"""The table of the published numbers and of this project's runs, with the origin of each run."""
import json
from collections.abc import Iterable
from pathlib import Path

from experiments.markdown import markdown
from experiments.recipe import FOLDER, SOURCES, Recipe, score_file

HEADER = ['recipe', 'test', 'paper', 'ChainerCV', 'ssd.pytorch', 'multibox, trained',
          'multibox, published weights']


def runs(recipe: Recipe, results: Path = Path('result')) -> list[dict | None]:
    """Find the runs of a recipe, in ``results`` or else in ``experiments/recipes/results``.

    Args:
        recipe: the recipe.
        results: folder of the runs.

    Returns:
        The metrics.json of the network that was trained and that of published weights; None for a
        run that is missing or has no score.
    """
    found = []
    for name, weights in ((recipe.name, False), (f'{recipe.name}-weights', True)):
        paths = (score_file(recipe, results / name, weights), FOLDER / 'results' / f'{name}.json')
        texts = [path.read_text(encoding='utf-8') for path in paths if path.is_file()]
        metrics = json.loads(texts[0]) if texts else None
        found.append(metrics if metrics and score(recipe, metrics) is not None else None)
    return found


def score(recipe: Recipe, metrics: dict) -> float | None:
    """The score of a recipe in a metrics.json, from 0 to 1; None without one, or during the run."""
    if metrics.get('running'):
        return None
    return (metrics.get('coco', {}) if 'coco' in recipe.evaluate else metrics).get('map')


def table(recipes: Iterable[Recipe], results: Path = Path('result')) -> str:
    """Lay out the table as Markdown, and list the origin of each run of this project below it.

    Args:
        recipes: the rows of the table.
        results: folder of the runs.
    """
    rows, origins = [], []
    for recipe in recipes:
        found = runs(recipe, results)
        percents = [f'{100 * score(recipe, metrics):.1f}' if metrics else '' for metrics in found]
        published = [recipe.expected.get(source, [''])[0] for source in SOURCES]
        rows.append([f'`{recipe.name}`', recipe.test, *published, *percents])
        origins += [f'- {recipe.name}, {percent}: {_origin(metrics)}'
                    for percent, metrics in zip(percents, found) if metrics]
    return '\n'.join([markdown(HEADER, rows), *([''] if origins else []), *origins])


def _origin(metrics):
    commands = ', '.join(
        f'`{command}`' for command in metrics.get('commands', [metrics['command']]))
    commit = str(metrics['versions']['multibox'])[:10]
    return f'{commands}, {metrics["date"][:10]}, commit {commit}, {metrics["hardware"]}'
