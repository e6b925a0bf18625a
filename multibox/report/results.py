"""The files of a run or an evaluation: scores, pictures and the report."""
from pathlib import Path
from typing import Any

from multibox.evaluation import precision_recall
from multibox.report.curves import plot_precision_recall
from multibox.report.drawing import draw_detections
from multibox.report.metrics import write_metrics
from multibox.report.page import MIN_SCORE, write_report

N_EXAMPLE = 8  # test images in detections.png


def write_results(out: Path, data: Any, images: list, result: dict, *, title: str,
                  iteration: int | None, settings: dict, seconds: float, device: str,
                  hardware: str, running: bool = False) -> None:
    """Write report.html, metrics.json, precision_recall.png and detections.png; print the scores.

    Without a test image there is no score, and the two pictures are not written.

    Args:
        out: the folder.
        data: :class:`multibox.data.voc.VOCData`.
        images: from :func:`multibox.evaluation.detect`, on ``data.test``.
        result: dict from :func:`multibox.evaluation.score`, possibly with more entries.
        title: the title of the report.
        iteration, settings, seconds, device, hardware: as for
            :func:`multibox.report.metrics.write_metrics`.
        running: whether the run goes on; metrics.json says so, and the scores are not printed.

    Raises:
        UserError: a file cannot be written.
    """
    metrics = write_metrics(out / 'metrics.json', result, iteration=iteration, settings=settings,
                            seconds=seconds, device=device, hardware=hardware,
                            running=running)
    if data.test:
        curves = precision_recall(images, data.label_names)
        plot_precision_recall(out / 'precision_recall.png', curves, result['ap'])
        shown = range(min(N_EXAMPLE, len(data.test)))
        parts = [[part[i] for i in shown] for part in images]
        draw_detections(out / 'detections.png', [data.test[i][0] for i in shown], parts[:3],
                        parts[3:5], data.label_names, min_score=MIN_SCORE)
    write_report(out, title, metrics, images, data)
    if data.test and not running:
        _print_scores(metrics)  # last, because a closed pipe raises an error


def _print_scores(metrics):
    columns = {'11-point': (metrics['map'], metrics['ap'])}
    if 'ap_area' in metrics:
        columns['area'] = metrics['map_area'], metrics['ap_area']
    if 'coco' in metrics:
        columns['COCO'] = metrics['coco']['map'], metrics['coco']['ap']
    print(' ' * 20 + ''.join(f'  {name:>8}' for name in columns))
    for label in metrics['ap']:
        print(f'{label:>20}' + ''.join(f'  {_show(ap[label])}' for _, ap in columns.values()))
    print(f'{"mAP":>20}' + ''.join(f'  {_show(mean)}' for mean, _ in columns.values()))


def _show(score):
    return 'no objects' if score is None else f'{score:8.4f}'
