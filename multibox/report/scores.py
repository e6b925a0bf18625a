"""The scores in the report: the key figures, and the table of the classes."""
from collections import Counter

from multibox.data.voc import VOCData
from multibox.evaluation.mistakes import Outcome

MAX_ROWS = 500  # classes per table; a page of 10,000 rows would be slow to open
RULES = {'11-point': 'AP', 'area': 'area rule', 'COCO': 'COCO AP'}  # headings of columns
COCO_NAMES = {'map': 'AP', 'map_50': 'AP at IoU 0.50', 'map_75': 'AP at IoU 0.75',
              'map_small': 'AP, small', 'map_medium': 'AP, medium', 'map_large': 'AP, large',
              'ar_1': 'AR, 1 per image', 'ar_10': 'AR, 10', 'ar_100': 'AR, 100',
              'ar_small': 'AR, small', 'ar_medium': 'AR, medium', 'ar_large': 'AR, large'}


def key_figures(metrics: dict, outcome: Outcome, data: VOCData) -> dict:
    """Collect the numbers at the top of the page.

    Args:
        metrics: from :func:`multibox.report.metrics.make_metrics`.
        outcome: from :func:`multibox.evaluation.mistakes.compare`, on ``data.test``.
        data: the data set.

    Returns:
        {name: float, int, str, or None for an unknown score}.
    """
    figures: dict = {}
    if metrics.get('best'):
        figures[f'best mAP, iteration {metrics["best"]["iteration"]:,}'] = metrics['best']['map']
    if 'coco' in metrics:
        figures['COCO AP'] = metrics['coco']['map']
    if 'map_area' in metrics:
        figures['mAP, area rule'] = metrics['map_area']
    if data.test:
        n_found = len(outcome.found)
        figures.update({'objects found': f'{n_found:,} of {n_found + len(outcome.missed):,}',
                        'false detections': len(outcome.false),
                        'badly placed': len(outcome.misplaced)})
    figures.update({'test images': len(data.test), 'duration': duration(metrics['seconds'])})
    if metrics['iteration'] is not None:
        figures['iterations'] = metrics['iteration']
    return figures


def scores_by_rule(metrics: dict) -> dict[str, tuple]:
    """Collect the mean and the average precision per class by each rule that was computed.

    Args:
        metrics: as for :func:`key_figures`.

    Returns:
        {'11-point', 'area' or 'COCO': (mean, {class name: float or None})}; the mean is a float or
        None. The 11-point rule comes first.
    """
    rules = {'11-point': (metrics['map'], metrics['ap'])}
    if 'ap_area' in metrics:
        rules['area'] = metrics['map_area'], metrics['ap_area']
    if 'coco' in metrics:
        rules['COCO'] = metrics['coco']['map'], metrics['coco']['ap']
    return rules


def class_table(metrics: dict, outcome: Outcome, label_names: tuple) -> dict:
    """Tabulate the scores and counts of each class, the best class first.

    Args:
        metrics, outcome: as for :func:`key_figures`.
        label_names: the foreground classes, in the order of their numbers.

    Returns:
        dict with ``header``, ``rows`` and ``footer``, lists of cells; ``n_left_out``, the number of
        the worst classes without a row; and ``coco``: {name: float or None}, empty without COCO's
        scores.
    """
    by_rule = scores_by_rule(metrics)
    (_, ap), *others = by_rule.values()
    counts = {
        'objects': _labels(outcome.found + outcome.missed, 'object'),
        'found': _labels(outcome.found, 'object'),
        'missed': _labels(outcome.missed, 'object'),
        'false': _labels(outcome.false, 'detection'),
        'badly placed': _labels(outcome.misplaced, 'detection')}
    ranked = sorted(enumerate(label_names), reverse=True,
                    key=lambda label: -1 if ap[label[1]] is None else ap[label[1]])
    return {
        'header': ['class', *(RULES[rule] for rule in by_rule), *counts],
        'rows': [[name, _bar(ap[name]), *(scores[name] for _, scores in others),
                  *(count[n] for count in counts.values())] for n, name in ranked[:MAX_ROWS]],
        'n_left_out': max(0, len(ranked) - MAX_ROWS),
        'footer': ['mean, sum', _bar(metrics['map']), *(mean for mean, _ in others),
                   *(count.total() for count in counts.values())],
        'coco': {name: metrics['coco'][key] for key, name in COCO_NAMES.items()}
        if 'coco' in metrics else {}}


def _labels(matches, side):
    return Counter(getattr(match, side)[1] for match in matches)


def _bar(ap):
    return None if ap is None else {'share': ap, 'text': f'{ap:.4f}'}


def duration(seconds: float) -> str:
    """Write a duration in seconds in hours and minutes."""
    hours, minutes = divmod(round(seconds / 60), 60)
    return f'{hours} h {minutes} min' if hours else f'{minutes} min' if minutes else f'{seconds} s'
