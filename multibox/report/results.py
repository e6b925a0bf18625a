"""The files of a run or an evaluation: scores, pictures and the report."""
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from multibox.evaluation import Learning, coco_score, precision_recall
from multibox.evaluation.learned import PASSED
from multibox.faults import Faults
from multibox.files import write_json
from multibox.report.curves import plot_curves, plot_precision_recall
from multibox.report.drawing import draw_detections
from multibox.report.metrics import make_metrics
from multibox.report.page import write_report
from multibox.report.scores import scores_by_rule

import numpy as np

FEW_OBJECTS = 30  # in the test set, below which a score says little
N_EXAMPLE = 8  # test images in detections.png


@np.errstate(all='ignore')  # for boxes without an area, or beyond all numbers
def write_results(out: Path, data: Any, images: list, result: dict, *, learning: Learning,
                  iteration: int | None, settings: dict, seconds: float, device: str,
                  hardware: str, running: bool = False, failed: Sequence[str] = ()) -> None:
    """Write metrics.json, precision_recall.png, detections.png, the curves and report.html.

    The scores and the findings on learning are printed. Without a test image there is no score, and
    the first two pictures are not written. The curves, loss.png and map.png, are those of a
    training. metrics.json also has COCO's scores of a run that has ended, and ``test``, the numbers
    of test images and of their objects that are not difficult.

    metrics.json is written first. Each part that fails is named on the page, and all others are
    written.

    Args:
        out: the folder.
        data: :class:`multibox.data.voc.VOCData`.
        images: from :func:`multibox.evaluation.detect`, on ``data.test``.
        result: dict from :func:`multibox.evaluation.score`, possibly with more entries.
        learning: from :func:`multibox.evaluation.examine`; its threshold is that of the report.
        iteration, settings, seconds, device, hardware: as for
            :func:`multibox.report.metrics.make_metrics`. The report is titled by the settings
            ``model`` and ``data``.
        running: whether the run goes on; metrics.json and the page say so. Neither the pictures are
            written nor the scores printed.
        failed: lines about parts that failed before, for the page.

    Raises:
        Incomplete: parts failed, with a line for each. Everything else is written.
    """
    n_object = sum(int((~example.difficult).sum()) for example in data.test.examples)
    result = {**result, 'test': {'images': len(data.test), 'objects': n_object}}
    ended = bool(data.test) and not running  # a run need not wait for the rest
    metrics = make_metrics({**result, **learning.metrics()}, iteration=iteration, settings=settings,
                           seconds=seconds, device=device, hardware=hardware, running=running)
    with Faults() as faults:
        faults.found += learning.failed
        with faults.of(out / 'metrics.json'):
            write_json(out / 'metrics.json', metrics)
        if ended:
            with faults.of('the scores by the rules of COCO'):
                metrics['coco'] = coco_score(images, data.label_names)
                write_json(out / 'metrics.json', metrics)
            with faults.of(out / 'precision_recall.png'):
                curves = precision_recall(images, data.label_names)
                plot_precision_recall(out / 'precision_recall.png', curves, result['ap'])
            with faults.of(out / 'detections.png'):
                shown = range(min(N_EXAMPLE, len(data.test)))
                parts = [[part[i] for i in shown] for part in images]
                draw_detections(out / 'detections.png', map(data.test.picture, shown), parts[:3],
                                parts[3:5], data.label_names, min_score=learning.threshold)
        if iteration is not None and not running:
            with faults.of('loss.png and map.png'):
                plot_curves(out)
        with faults.of(out / 'report.html'):
            title = f'{settings["model"]} on {settings["data"] or "the built-in set"}'
            write_report(out, title, metrics, images, data, [*failed, *faults.found])
        if ended:
            _print_scores(metrics)  # last, because a closed pipe raises an error
        for finding in learning.findings if not running else ():
            print(finding if finding == PASSED else f'warning: {finding}')


def _print_scores(metrics):
    columns = scores_by_rule(metrics)
    print(' ' * 20 + ''.join(f'  {name:>8}' for name in columns))
    for label in metrics['ap']:
        print(f'{label:>20}' + ''.join(f'  {_show(ap[label])}' for _, ap in columns.values()))
    print(f'{"mAP":>20}' + ''.join(f'  {_show(mean)}' for mean, _ in columns.values()))
    if metrics['test']['objects'] < FEW_OBJECTS:
        print('These scores are uncertain: the test set has {images} images with {objects} '
              'objects.'.format(**metrics['test']))


def _show(score):
    return 'no objects' if score is None else f'{score:8.4f}'
