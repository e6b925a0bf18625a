"""What a run or an evaluation leaves behind: scores, pictures and the report."""
from multibox.report.page import MIN_SCORE, write_report
from multibox.training import (
    draw_detections,
    plot_precision_recall,
    precision_recall,
    write_metrics,
)

N_EXAMPLE = 8  # test images in detections.png


def write_results(out, title, result, images, data, iteration, settings, seconds, device, hardware):
    """Write report.html, metrics.json, precision_recall.png and detections.png, and print scores.

    Without a test image there are no scores and neither of the pictures.

    Args:
        out: the folder.
        title: what was run, for the report.
        result: dict from :func:`multibox.training.evaluation.score`, or more; see
            :func:`multibox.training.metrics.write_metrics`, which takes the last five as well.
        images: from :func:`multibox.training.evaluation.detect`, on ``data.test``.
        data: :class:`multibox.data.voc.VOCData`.

    Raises:
        UserError: a file cannot be written.
    """
    metrics = write_metrics(out / 'metrics.json', result, iteration, settings, seconds, device,
                            hardware)
    if data.test:
        curves = precision_recall(images, data.label_names)
        plot_precision_recall(out / 'precision_recall.png', curves, result['ap'])
        shown = range(min(N_EXAMPLE, len(data.test)))
        parts = [[part[i] for i in shown] for part in images]
        draw_detections(out / 'detections.png', [data.test[i][0] for i in shown], parts[:3],
                        parts[3:5], data.label_names, min_score=MIN_SCORE)
    write_report(out, title, metrics, images, data)
    if data.test:
        _print_scores(metrics)  # last: whoever was to read it may be gone


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
