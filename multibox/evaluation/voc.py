"""The score of a detector by the rules of PASCAL VOC."""
from typing import Any

from multibox.evaluation.detection import detect
from multibox.processes import ONE, OneProcess

import numpy as np
from chainercv.evaluations import calc_detection_voc_ap, calc_detection_voc_prec_rec


def precision_recall(images: list, label_names: tuple) -> dict:
    """Precision and recall of each class over its detections by falling score.

    A detection is right if its IoU with an object that was not found before is at least 0.5.
    Difficult objects count neither as found nor as missed.

    Args:
        images: from :func:`multibox.evaluation.detect`.
        label_names: the foreground classes, in the order of their numbers.

    Returns:
        {class name: (precision, recall)}, two (D,) float arrays; None for a class without an
        object that counts.
    """
    curves = dict.fromkeys(label_names)
    *predicted, bboxes, labels, difficults = images
    if any((~np.asarray(difficult, bool)).any() for difficult in difficults):
        # 0/0 where the best detection is a difficult object; areas of wild boxes overflow.
        with np.errstate(invalid='ignore', over='ignore'):
            found = calc_detection_voc_prec_rec(*predicted, bboxes, labels, difficults)
        for name, precision, recall in zip(label_names, *found):
            if recall is not None:
                curves[name] = precision, recall
    return curves


def score(curves: dict, use_07_metric: bool = True) -> dict:
    """Average precision of each class.

    Args:
        curves: from :func:`precision_recall`.
        use_07_metric: True averages the precision at 11 recalls, as VOC 2007 and the paper do.
            False takes the area under the curve, as VOC 2010 and later do.

    Returns:
        dict with ``ap``: {class name: float, or None if no object of the class counts}, and
        ``map``: the mean of the floats, or None if there is none.
    """
    ap = dict.fromkeys(curves)
    for name, curve in curves.items():
        if curve is not None:
            ap[name] = float(calc_detection_voc_ap(
                *([x] for x in curve), use_07_metric=use_07_metric)[0])
    counted = [value for value in ap.values() if value is not None]
    return {'map': float(np.mean(counted)) if counted else None, 'ap': ap}


def evaluate(model: Any, dataset: Any, label_names: tuple, batchsize: int = 32,
             use_07_metric: bool = True, processes: OneProcess = ONE,
             strict: bool = True) -> tuple[dict, list | None]:
    """Detect and score in one call; see :func:`multibox.evaluation.detect` and :func:`score`.

    Returns:
        ``(score, images)``: the dict with ``map`` and ``ap``, the same on every process, and the
        result of ``detect``.
    """
    images = detect(model, dataset, batchsize, processes, strict)
    result = None
    if images is not None:
        result = score(precision_recall(images, label_names), use_07_metric)
    return processes.broadcast(result), images
