"""One run or evaluation on one page that needs nothing but itself."""
from collections import Counter
from pathlib import Path

from multibox.files import open_whole
from multibox.report.dataset import data_section, problems_section
from multibox.report.markup import Markup, bar, fill, join, number, plot, table
from multibox.report.mistakes import FOUND, NEAR, compare
from multibox.report.pictures import figure

MIN_SCORE = 0.3  # detections below are no mistakes, but the tail that average precision also counts
N_SHOWN = 12  # pictures of each kind of mistake
COCO_NAMES = {'map': 'AP', 'map_50': 'AP at IoU 0.50', 'map_75': 'AP at IoU 0.75',
              'map_small': 'AP, small', 'map_medium': 'AP, medium', 'map_large': 'AP, large',
              'ar_1': 'AR, 1 an image', 'ar_10': 'AR, 10', 'ar_100': 'AR, 100',
              'ar_small': 'AR, small', 'ar_medium': 'AR, medium', 'ar_large': 'AR, large'}


def write_report(out, title, metrics, images, data):
    """Write ``out/report.html``, whole or not at all.

    Images of the test set are loaded one at a time, and of each kind of mistake the worst
    :data:`N_SHOWN` only, so that memory and the file stay small whatever the data.

    Args:
        out: folder; the curves are those of its ``precision_recall.png`` and, for a training run,
            ``loss.png`` and ``map.png``.
        title: what was run, a short str.
        metrics: what :func:`multibox.training.metrics.write_metrics` wrote.
        images: from :func:`multibox.training.evaluation.detect`, on ``data.test``.
        data: :class:`multibox.data.voc.VOCData`; ``train`` or ``test`` may be empty.

    Raises:
        UserError: the file cannot be written.
    """
    out = Path(out)
    outcome = compare(images, MIN_SCORE)
    splits = {name: split for name, split in (('training', data.train), ('test', data.test))
              if len(split)}
    trained = metrics['iteration'] is not None
    sections = {
        'Average precision by class': _classes(metrics, outcome, data) if data.test else '',
        'Precision over recall': plot(
            out / 'precision_recall.png', 'Precision over recall, one line a class; their average '
            'precision is in the table above.'),
        'Loss and mAP in training': join([
            plot(out / 'loss.png', 'The terms of the loss over the iterations.'),
            plot(out / 'map.png', 'mAP over the iterations.')]) if trained else '',
        **{heading: _mistakes(text, matches, data) for heading, text, matches in (
            ('Missed objects', 'Those with nothing of their class near come first, and the '
             'larger before the smaller.', outcome.missed),
            ('False detections', 'Background, the wrong class, or an object found already; the '
             'surest first.', outcome.false),
            ('Badly placed detections', f'The right class with an IoU of {NEAR} to {FOUND}; the '
             'surest first. What nothing else finds counts as missed, too.', outcome.misplaced))},
        'Data set': data_section(splits, data.label_names, data.notes),
        'Annotation problems': problems_section(data.problems),
        'Run': _run(metrics),
    }
    sections = {heading: body for heading, body in sections.items() if body}
    page = fill(
        _read('page.html'), title=title,
        date=metrics['date'].replace('T', ' ').replace('+00:00', ' UTC'),
        style=Markup(_read('page.css')), key=_key_figures(metrics, outcome, data),
        score=_show(metrics['map']),
        contents=join(fill('<li><a href="#s{i}">{heading}</a></li>', i=i, heading=heading)
                      for i, heading in enumerate(sections)),
        sections=join((fill('<section id="s{i}"><h2>{heading}</h2>{body}</section>', i=i,
                            heading=heading, body=body)
                       for i, (heading, body) in enumerate(sections.items())), '\n'))
    with open_whole(out / 'report.html') as file:
        file.write(page.encode())


def _read(name):
    return Path(__file__).with_name(name).read_text(encoding='utf-8')


def _show(score):
    return 'unknown' if score is None else number(score)


def _key_figures(metrics, outcome, data):
    n_object = len(outcome.found) + len(outcome.missed)
    figures = {'objects found': f'{len(outcome.found):,} of {n_object:,}',
               'false detections': f'{len(outcome.false):,}',
               'badly placed': f'{len(outcome.misplaced):,}'} if data.test else {}
    figures.update({'test images': f'{len(data.test):,}',
                    'duration': _duration(metrics['seconds'])})
    if metrics['iteration'] is not None:
        figures['iterations'] = f'{metrics["iteration"]:,}'
    if 'map_area' in metrics:
        figures = {'mAP, area rule': _show(metrics['map_area']), **figures}
    if 'coco' in metrics:
        figures = {'COCO AP': _show(metrics['coco']['map']), **figures}
    return _tiles(figures)


def _tiles(figures):
    return fill('<dl>{tiles}</dl>', tiles=join(
        fill('<div><dt>{name}</dt><dd>{value}</dd></div>', name=name, value=value)
        for name, value in figures.items()))


def _duration(seconds):
    hours, minutes = divmod(round(seconds / 60), 60)
    return f'{hours} h {minutes} min' if hours else f'{minutes} min' if minutes else f'{seconds} s'


def _classes(metrics, outcome, data):
    """Scores, and what was found, by class; the best class first."""
    counts = {
        'objects': Counter(match.object[1] for match in outcome.found + outcome.missed),
        'found': Counter(match.object[1] for match in outcome.found),
        'missed': Counter(match.object[1] for match in outcome.missed),
        'false': Counter(match.detection[1] for match in outcome.false),
        'badly placed': Counter(match.detection[1] for match in outcome.misplaced)}
    more = {}
    if 'ap_area' in metrics:
        more['area rule'] = metrics['map_area'], metrics['ap_area']
    if 'coco' in metrics:
        more['COCO AP'] = metrics['coco']['map'], metrics['coco']['ap']
    rows = [[name, _ap_bar(metrics['ap'][name]), *(ap[name] for _, ap in more.values()),
             *(count[n] for count in counts.values())]
            for n, name in sorted(enumerate(data.label_names), key=lambda each: -(
                metrics['ap'][each[1]] if metrics['ap'][each[1]] is not None else -1))]
    parts = [fill('<p>AP at IoU {found} by the 11-point rule of VOC 2007. Found, missed, false and '
                  'badly placed count detections with a score from {score}; difficult objects '
                  'count neither way.</p>', found=FOUND, score=MIN_SCORE),
             table(['class', 'AP', *more, *counts], rows, [
                 'mean, sum', _ap_bar(metrics['map']), *(mean for mean, _ in more.values()),
                 *(sum(count.values()) for count in counts.values())])]
    if 'coco' in metrics:
        parts += [fill('<h3>By the rules of COCO</h3>'), _tiles(
            {name: _show(metrics['coco'][key]) for key, name in COCO_NAMES.items()})]
    return join(parts)


def _ap_bar(ap):
    return None if ap is None else bar(ap, number(ap))


def _mistakes(text, matches, data):
    """The first few mistakes of a kind as pictures; '' where nothing was tested."""
    if not data.test:
        return ''
    if not matches:
        return fill('<p>None.</p>')
    figures = []
    for match in matches[:N_SHOWN]:
        path = data.test.examples[match.image].path
        figures.append(figure(data.test[match.image][0], match, data.label_names, path.name))
    key = [fill('<svg class="key" viewBox="0 0 30 14" aria-hidden="true"><rect class="halo" {at}/>'
                '<rect class="{kind}" {at}/></svg>{name} ', kind=kind, name=name,
                at=Markup('x="2" y="2" width="26" height="10"'))
           for kind, name in (('true', 'object'), ('found', 'detection'))]
    return fill('<p>{shown} of {n}. {text}</p><p>{key}</p><div class="cuts">{figures}</div>',
                shown=len(figures), n=f'{len(matches):,}', text=text, key=join(key),
                figures=join(figures))


def _run(metrics):
    def text_table(header, values):
        rows = [[name.replace('_', '-'), None if value is None else str(value)]
                for name, value in values.items()]
        return fill('<h3>{header}</h3><div class="text">{table}</div>', header=header,
                    table=table(['', ''], rows))

    return join([
        fill('<pre>{command}</pre><p>On {hardware}.</p>', command=metrics['command'],
             hardware=metrics['hardware']),
        text_table('Settings', metrics['settings']), text_table('Versions', metrics['versions'])])
