"""The differences of runs: settings, and all that forbids to compare their scores."""
from collections.abc import Iterator

from multibox.report.runs import Run

HIDDEN = {'out', 'resume', 'cuts_given', 'eval_interval_given', 'classes', 'annotations', 'images'}
LOSSES = 'loss', 'alpha', 'k', 'match'  # settings that change the value of the loss


def settings_that_differ(runs: list[Run]) -> list[list[str]]:
    """Tabulate the settings and the hardware that differ.

    Args:
        runs: at least two runs.

    Returns:
        Per setting its name, and one value per run.
    """
    names = dict.fromkeys(name for run in runs for name in run.settings if name not in HIDDEN)
    rows = [[name.replace('_', '-'), *(_text(run.settings.get(name)) for run in runs)]
            for name in names]
    rows.append(['hardware', *(_text(run.metrics.get('hardware')) for run in runs)])
    return [row for row in rows if len(set(row[1:])) > 1]


def _text(value):
    if value is None or isinstance(value, bool):
        return {None: '-', True: 'yes', False: 'no'}[value]
    return ' '.join(map(str, value)) if isinstance(value, list) else str(value)


def warnings(runs: list[Run]) -> list[str]:
    """Sentences on differences for which the scores cannot be compared."""
    found = []
    if len({tuple(sorted(run.metrics['ap'])) for run in runs if run.metrics}) > 1:
        found.append('The runs have different classes.')
    if len({_data(run, runs) for run in runs}) > 1:
        found.append('The runs used different data: images, boxes or the division into sets '
                     'differ.')
    elif len({str(run.metrics['test']) for run in runs if run.metrics.get('test')}) > 1:
        found.append('The runs were evaluated on different test images.')
    return [f'{text} Their scores do not tell which run is better.' for text in found]


def _data(run, runs):
    """The checksum of the data where all runs have one, else the path and the split."""
    if all('annotations' in each.settings for each in runs):  # equal copies have equal sums
        return str(run.settings['annotations'])
    return str([run.settings.get('data'), run.settings.get('split', runs[0].settings.get('split'))])


def notes(runs: list[Run]) -> Iterator[str]:
    """Sentences that help to read the numbers."""
    tests = {(test['images'], test['objects']) for run in runs
             if None not in map((test := run.metrics.get('test') or {}).get, ('images', 'objects'))}
    counts = ' and '.join(f'{images:,} test images with {objects:,} objects'
                          for images, objects in sorted(tests))
    yield (f'mAP follows the 11-point rule of VOC 2007{", on " * bool(counts)}{counts}. On few '
           'test images, a small difference of mAP means little: runs that differ in nothing but '
           'their seed differ, too. Train with several seeds before you prefer a setting.')
    for run in runs:
        if not run.ended:
            yield f'{run.name} has not ended: {run.progress} iterations.'
    if any(len({_text(run.settings.get(name)) for run in runs}) > 1 for name in LOSSES):
        yield 'The loss is computed in different ways, so the heights of its curves do not compare.'
