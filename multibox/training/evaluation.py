"""The score of a detector by the rules of PASCAL VOC."""
import itertools

import chainer
import numpy as np
from chainercv.evaluations import calc_detection_voc_ap, calc_detection_voc_prec_rec
from chainercv.utils import apply_to_iterator


def detect(model, dataset, batchsize=32, comm=None):
    """Detections and ground truth of every image; images are loaded batch by batch and not kept.

    Args:
        model: has ``predict(imgs) -> (bboxes, labels, scores)``, lists of (R, 4) float32,
            (R,) int32 and (R,) float32 arrays; see README "Data conventions".
        dataset: ``dataset[i]`` is (img, bbox, label, difficult): (3, H, W) float32, (R, 4)
            float32, (R,) int32 and (R,) bool.
        batchsize: images given to ``predict`` at once.
        comm: a ChainerMN communicator whose processes share the images, or None.

    Returns:
        Six lists of an array an image: predicted bbox, label and score; true bbox, label and
        difficult. None on all processes but the first.
    """
    if comm is None:
        return _detect(model, dataset, batchsize)
    start, stop = (len(dataset) * i // comm.size for i in (comm.rank, comm.rank + 1))
    shares = comm.gather_obj(
        _detect(model, chainer.datasets.SubDataset(dataset, start, stop), batchsize))
    if comm.rank > 0:
        return None
    return [list(itertools.chain(*lists)) for lists in zip(*shares)]


def _detect(model, dataset, batchsize):
    if not len(dataset):  # more processes than images
        return [[]] * 6
    iterator = chainer.iterators.SerialIterator(dataset, batchsize, repeat=False, shuffle=False)
    in_values, predicted, truth = apply_to_iterator(model.predict, iterator)
    del in_values  # or ChainerCV would keep every image
    return [*map(list, predicted), *map(list, truth)]


def precision_recall(images, label_names):
    """Precision and recall of each class as detections are taken by falling score.

    A detection is right that overlaps an object not found before by an IoU of 0.5. Difficult
    objects count neither as found nor as missed.

    Args:
        images: from :func:`detect`.
        label_names: the foreground classes, in the order of their numbers.

    Returns:
        {class name: (precision, recall)}, two (D,) float arrays; None for a class without an
        object that counts.
    """
    curves = dict.fromkeys(label_names)
    *predicted, bboxes, labels, difficults = images
    if any((~np.asarray(difficult, bool)).any() for difficult in difficults):
        with np.errstate(invalid='ignore'):  # 0/0 where the best detection is a difficult object
            found = calc_detection_voc_prec_rec(*predicted, bboxes, labels, difficults)
        for name, precision, recall in zip(label_names, *found):
            if recall is not None:
                curves[name] = precision, recall
    return curves


def score(curves, use_07_metric=True):
    """Average precision of each class.

    Args:
        curves: from :func:`precision_recall`.
        use_07_metric: average the precision at 11 recalls, as VOC 2007 and the paper do; if
            False, take the area under the curve, as VOC 2010 and later do.

    Returns:
        dict with ``ap``: {class name: float, or None if it has no object that counts}, and
        ``map``: the mean of the floats, or None if there is none.
    """
    ap = dict.fromkeys(curves)
    for name, curve in curves.items():
        if curve is not None:
            ap[name] = float(calc_detection_voc_ap(
                *([x] for x in curve), use_07_metric=use_07_metric)[0])
    counted = [value for value in ap.values() if value is not None]
    return {'map': float(np.mean(counted)) if counted else None, 'ap': ap}


def evaluate(model, dataset, label_names, batchsize=32, use_07_metric=True, comm=None):
    """:func:`detect` and :func:`score`, whose arguments it takes, in one.

    Returns:
        dict with ``ap`` and ``map``, the same on every process; and what ``detect`` returned.
    """
    images = detect(model, dataset, batchsize, comm)
    result = None
    if images is not None:
        result = score(precision_recall(images, label_names), use_07_metric)
    return result if comm is None else comm.bcast_obj(result), images
