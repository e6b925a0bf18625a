"""The published numbers with ours beside them, and where ours come from."""
import json
import pathlib

from experiments.recipe import FOLDER, SOURCES, score_file

HEAD = ['recipe', 'test', 'paper', 'ChainerCV', 'ssd.pytorch', 'ours, trained',
        'ours, published weights']


def ours(recipe, results=pathlib.Path('result')):
    """Our runs of a recipe.

    Args:
        recipe: :class:`experiments.recipe.Recipe`.
        results: folder of the runs.

    Returns:
        Two dicts, what metrics.json says of the network we trained and of published weights; each
        None where there is no run, or none with a score.
    """
    found = []
    for name, weights in ((recipe.name, False), (f'{recipe.name}-weights', True)):
        paths = (score_file(recipe, results / name, weights), FOLDER / 'results' / f'{name}.json')
        texts = [path.read_text(encoding='utf-8') for path in paths if path.is_file()]
        metrics = json.loads(texts[0]) if texts else None
        found.append(metrics if metrics and score(recipe, metrics) is not None else None)
    return found


def score(recipe, metrics):
    """The number of a recipe in its metrics.json: a float from 0 to 1, or None."""
    scores = metrics.get('coco', {}) if '--coco' in recipe.evaluate else metrics
    return scores.get('map')


def table(recipes, results=pathlib.Path('result')):
    """Markdown: a row for each recipe, and below it a line for each of our numbers.

    Args:
        recipes: an iterable of :class:`experiments.recipe.Recipe`.
        results: folder of the runs.
    """
    rows, origins = [HEAD, ['---'] * len(HEAD)], []
    for recipe in recipes:
        cells = []
        for metrics in ours(recipe, results):
            cells.append('')
            if metrics:
                cells[-1] = f'{100 * score(recipe, metrics):.1f}'
                commands = ', '.join(
                    f'`{command}`' for command in metrics.get('commands', [metrics['command']]))
                origins.append(
                    f'- {recipe.name}, {cells[-1]}: {commands}, {metrics["date"][:10]}, commit '
                    f'{str(metrics["versions"]["multibox"])[:10]}, {metrics["hardware"]}')
        published = [recipe.expected[source][0] if source in recipe.expected else ''
                     for source in SOURCES]
        rows.append([f'`{recipe.name}`', recipe.test, *published, *cells])
    lines = [f'| {" | ".join(row)} |' for row in rows]
    return '\n'.join([*lines, *([''] if origins else []), *origins])
