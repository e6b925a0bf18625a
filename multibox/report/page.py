"""report.html: one run or evaluation on one self-contained page."""
import base64
import functools
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from multibox.data.voc import VOCData
from multibox.evaluation import precision_recall, threshold_curve
from multibox.evaluation.mistakes import FOUND, NEAR, compare
from multibox.faults import Faults
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
from multibox.terminal import printable

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

N_SHOWN = 12  # pictures per kind of mistake
RELOAD = 30  # seconds between two reloads of the page of a run that goes on
MAX_PROBLEMS = 200  # annotation problems listed; the list of all could be too large to open
LONGEST = 2000  # characters of a text on the page, such as a name
MISTAKES = {  # heading: (field of Outcome, text)
    'Missed objects': ('missed', 'Objects without a nearby detection of their class come first. '
                       'Larger objects come before smaller ones.'),
    'False detections': ('false', 'These detections have the wrong class, find an object a second '
                         f'time, or have an IoU below {NEAR} with every object. Higher scores '
                         'come first.'),
    'Badly placed detections': ('misplaced', 'These detections have the right class and an IoU of '
                                f'{NEAR} to {FOUND}. Higher scores come first. An object without '
                                'a better detection also counts as missed.')}


def shown(value: object) -> object:
    """What a template prints for a value: no control characters, and no text without an end."""
    return value if isinstance(value, Markup | int | float) else printable(str(value), LONGEST)


def number(value: float | str | None, missing: str = 'unknown') -> str:
    """A float with four decimals, an int with separators, ``missing`` for None, or a text."""
    if value is None:
        return missing
    if isinstance(value, float):
        return f'{value:.4f}'
    return f'{value:,}' if isinstance(value, int) else value


TEMPLATES = Environment(autoescape=True, loader=PackageLoader('multibox.report'),
                        undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True,
                        keep_trailing_newline=True, finalize=shown)
TEMPLATES.filters.update(number=number,
                         base64=lambda data: Markup(base64.b64encode(data).decode()))


@np.errstate(all='ignore')  # for boxes without an area, or beyond all numbers
def write_report(out: str | Path, title: str, metrics: dict, images: list, data: VOCData,
                 failed: Sequence[str] = ()) -> None:
    """Write ``out/report.html``, completely or not at all.

    A section, a chart or a picture that cannot be made is named on the page with the reason. The
    others stay.

    Test images are loaded one at a time, and the page shows only the :data:`N_SHOWN` worst mistakes
    of each kind. Memory use and the file therefore stay small for a data set of any size. The page
    of a run that goes on tells its progress, and a browser loads it anew every :data:`RELOAD`
    seconds.

    Args:
        out: folder, which for a training run holds Chainer's ``log``; without a log the page has
            no curves of the training.
        title: short name of the run.
        metrics: from :func:`multibox.report.metrics.make_metrics`. Counts and pictures consider
            detections from its ``threshold`` on; average precision uses all.
        images: from :func:`multibox.evaluation.detect`, on ``data.test``.
        data: :class:`multibox.data.voc.VOCData`; ``train`` or ``test`` may be empty.
        failed: lines about other parts of the report that failed, for the page.

    Raises:
        UserError: the file cannot be written, or parts of the page failed, with a line for each.
    """
    path, outcome = Path(out) / 'report.html', functools.cache(
        lambda: compare(images, metrics['threshold']))
    with Faults() as faults:
        figures = {}
        with faults.of(f'{path}, the key figures'):
            figures = key_figures(metrics, outcome(), data)
        sections = []
        for heading, template, make in _sections(Path(out), metrics, images, outcome, data, faults):
            before, body = len(faults.found), ''
            with faults.of(f'{path}, the section {heading}'):
                content = make()
                if content:
                    body = TEMPLATES.get_template(template).render(content=content)
            if body or len(faults.found) > before:
                sections.append((heading, Markup(body), faults.found[before:]))
        with faults.of(path):
            page = TEMPLATES.get_template('page.html').render(
                title=title, progress=_progress(metrics), reload=RELOAD, score=metrics['map'],
                date=metrics['date'].replace('T', ' ').replace('+00:00', ' UTC'),
                key_figures=figures, sections=sections, failed=[*failed, *faults.found])
            with open_whole(path) as file:
                file.write(page.encode(errors='backslashreplace'))


def _progress(metrics):
    """How far a training is that goes on, and when the page was written, in local time; or None."""
    if not metrics.get('running'):
        return None
    total = metrics['settings'].get('iteration')
    of = '' if total is None else f' of {total:,}'
    return (f'Training: iteration {metrics["iteration"]:,}{of}, written '
            + datetime.now().astimezone().strftime('%H:%M %Z'))


def _sections(out, metrics, images, outcome, data, faults):
    """The heading and the template of each section, and a function that makes its content.

    The content is None or empty if there is nothing to show.
    """
    names, trained = data.label_names, metrics['iteration'] is not None
    if data.test:
        threshold = metrics['threshold']
        rule = {'iou': FOUND, 'score': f'{threshold:.3g}'}
        yield 'Average precision by class', 'classes.html', lambda: {
            **class_table(metrics, outcome(), names), **rule,
            'score_from': metrics['threshold_from']}
        yield 'Confusion matrix', 'confusion.html', lambda: {
            **confusion_table(outcome(), names), **rule}
        yield 'Precision and recall', 'charts.html', lambda: _charts(faults, {
            'precision over the threshold': lambda: charts.threshold_chart(
                threshold_curve(images), threshold),
            'precision over recall': lambda: charts.precision_recall_chart(
                precision_recall(images, names), metrics['ap'])})
    if 'learning' in metrics:
        yield 'Has it learned?', 'learning.html', lambda: learning_table(metrics, names)
    if trained:
        entries = functools.cache(lambda: read_log(out))
        yield 'Curves of the training', 'charts.html', lambda: entries() and _charts(faults, {
            'loss': lambda: charts.loss_chart(entries()),
            'mAP': lambda: charts.map_chart(entries()),
            'learning rate': lambda: charts.learning_rate_chart(entries()),
            'images per second': lambda: charts.speed_chart(
                entries(), metrics['settings'].get('batchsize', 1))})
    for heading in MISTAKES if data.test else ():
        yield heading, 'mistakes.html', functools.partial(
            _mistakes, faults, outcome, data, *MISTAKES[heading])
    if trained:
        yield 'Training images, augmented', 'inputs.html', lambda: (
            shrink(out / MOSAIC) if (out / MOSAIC).is_file() else None)
    yield 'Data set', 'data.html', lambda: {**data_statistics(data), 'pictures': _each(
        faults, {path: functools.partial(shrink, path)
                 for path in (data_pictures(out) if trained else ())})}
    yield 'Annotation problems', 'problems.html', lambda: {
        'n': len(data.problems), 'shown': data.problems[:MAX_PROBLEMS]}
    yield 'Run', 'run.html', lambda: metrics


def _each(faults, makers):
    """What the functions in a dict make, without those that fail; the keys name them."""
    made = []
    for name, make in makers.items():
        with faults.of(name):
            made.append(make())
    return made


def _charts(faults, makers):
    """The charts that have a point; None without one."""
    drawn = [(chart, text) for chart, text in _each(
        faults, {f'the chart of {name}': make for name, make in makers.items()}) if chart]
    return {'charts': drawn} if drawn else None


def _mistakes(faults, outcome, data, kind, text):
    """The pictures of one kind of mistakes."""
    matches = getattr(outcome(), kind)

    def draw(match):
        path = data.test.examples[match.image].path
        return figure(data.test.picture(match.image), match, data.label_names, path.name)

    return {'text': text, 'n': len(matches), 'figures': _each(
        faults, {f'picture {i} of the {kind}': functools.partial(draw, match)
                 for i, match in enumerate(matches[:N_SHOWN], 1)})}
