"""report.html: one run or evaluation on one self-contained page."""
import base64
from datetime import datetime
from pathlib import Path

from multibox.data.voc import VOCData
from multibox.evaluation import precision_recall, threshold_curve
from multibox.evaluation.mistakes import FOUND, NEAR, compare
from multibox.files import open_whole
from multibox.report import charts
from multibox.report.confusion import confusion_table
from multibox.report.dataset import data_statistics
from multibox.report.inputs import TRAINING as MOSAIC
from multibox.report.inputs import data_pictures, shrink
from multibox.report.learning import learning_table
from multibox.report.log import read_log
from multibox.report.pictures import figure
from multibox.report.scores import class_table, key_figures

from jinja2 import Environment, PackageLoader, StrictUndefined

N_SHOWN = 12  # pictures per kind of mistake
RELOAD = 30  # seconds between two reloads of the page of a run that goes on
MAX_PROBLEMS = 200  # annotation problems listed; the list of all could be too large to open
MISTAKES = {  # heading: (field of Outcome, text)
    'Missed objects': ('missed', 'Objects without a nearby detection of their class come first. '
                       'Larger objects come before smaller ones.'),
    'False detections': ('false', 'These detections have the wrong class, find an object a second '
                         f'time, or have an IoU below {NEAR} with every object. Higher scores '
                         'come first.'),
    'Badly placed detections': ('misplaced', 'These detections have the right class and an IoU of '
                                f'{NEAR} to {FOUND}. Higher scores come first. An object without '
                                'a better detection also counts as missed.')}


def number(value: float | str | None, missing: str = 'unknown') -> str:
    """A float with four decimals, an int with separators, ``missing`` for None, or a text."""
    if value is None:
        return missing
    if isinstance(value, float):
        return f'{value:.4f}'
    return f'{value:,}' if isinstance(value, int) else value


TEMPLATES = Environment(autoescape=True, loader=PackageLoader('multibox.report'),
                        undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True,
                        keep_trailing_newline=True)
TEMPLATES.filters.update(number=number, base64=lambda data: base64.b64encode(data).decode())


def write_report(out: str | Path, title: str, metrics: dict, images: list, data: VOCData) -> None:
    """Write ``out/report.html``, completely or not at all.

    Test images are loaded one at a time, and the page shows only the :data:`N_SHOWN` worst mistakes
    of each kind. Memory use and the file therefore stay small for a data set of any size. The page
    of a run that goes on tells its progress, and a browser loads it anew every :data:`RELOAD`
    seconds.

    Args:
        out: folder, which for a training run holds Chainer's ``log``; without a log the page has
            no curves of the training.
        title: short name of the run.
        metrics: from :func:`multibox.report.metrics.write_metrics`. Counts and pictures consider
            detections from its ``threshold`` on; average precision uses all.
        images: from :func:`multibox.evaluation.detect`, on ``data.test``.
        data: :class:`multibox.data.voc.VOCData`; ``train`` or ``test`` may be empty.

    Raises:
        UserError: the file cannot be written.
    """
    outcome = compare(images, metrics['threshold'])
    page = TEMPLATES.get_template('page.html').render(
        title=title, progress=_progress(metrics), reload=RELOAD,
        score=metrics['map'],
        date=metrics['date'].replace('T', ' ').replace('+00:00', ' UTC'),
        key_figures=key_figures(metrics, outcome, data),
        sections=list(_sections(Path(out), metrics, images, outcome, data)))
    with open_whole(Path(out) / 'report.html') as file:
        file.write(page.encode(errors='backslashreplace'))


def _progress(metrics):
    """How far a training is that goes on, and when the page was written, in local time; or None."""
    if not metrics.get('running'):
        return None
    total = metrics['settings'].get('iteration')
    of = '' if total is None else f' of {total:,}'
    return (f'Training: iteration {metrics["iteration"]:,}{of}, written '
            + datetime.now().astimezone().strftime('%H:%M %Z'))


def _sections(out, metrics, images, outcome, data):
    """The heading, the template and the content of each section."""
    if data.test:
        threshold = metrics['threshold']
        rule = {'iou': FOUND, 'score': f'{threshold:.3g}'}
        yield 'Average precision by class', 'classes.html', {
            **class_table(metrics, outcome, data.label_names), **rule,
            'score_from': metrics['threshold_from']}
        yield 'Confusion matrix', 'confusion.html', {
            **confusion_table(outcome, data.label_names), **rule}
        yield from _charts('Precision and recall', (
            charts.threshold_chart(threshold_curve(images), threshold),
            charts.precision_recall_chart(precision_recall(images, data.label_names),
                                          metrics['ap'])))
    if 'learning' in metrics:
        yield 'Has it learned?', 'learning.html', learning_table(metrics, data.label_names)
    if metrics['iteration'] is not None and (entries := read_log(out)):
        yield from _charts('Curves of the training', (
            charts.loss_chart(entries), charts.map_chart(entries),
            charts.learning_rate_chart(entries),
            charts.speed_chart(entries, metrics['settings'].get('batchsize', 1))))
    for heading, (kind, text) in MISTAKES.items() if data.test else ():
        matches = getattr(outcome, kind)
        yield heading, 'mistakes.html', {
            'text': text, 'n': len(matches),
            'figures': [_figure(match, data) for match in matches[:N_SHOWN]]}
    trained = metrics['iteration'] is not None
    if trained and (out / MOSAIC).exists():
        yield 'Training images, augmented', 'inputs.html', shrink(out / MOSAIC)
    yield 'Data set', 'data.html', {**data_statistics(data),
                                    'pictures': data_pictures(out) if trained else []}
    yield 'Annotation problems', 'problems.html', {
        'n': len(data.problems), 'shown': data.problems[:MAX_PROBLEMS]}
    yield 'Run', 'run.html', metrics


def _figure(match, data):
    path = data.test.examples[match.image].path
    return figure(data.test.picture(match.image), match, data.label_names, path.name)


def _charts(heading, pairs):
    """The section of the charts that have a point."""
    if drawn := [(chart, text) for chart, text in pairs if chart]:
        yield heading, 'charts.html', {'charts': drawn}
