"""The score of a detector by the rules of COCO, computed by the package pycocotools."""
import contextlib
import io

# The twelve numbers of pycocotools in its order: average precisions, then average recalls.
SUMMARY = ('map', 'map_50', 'map_75', 'map_small', 'map_medium', 'map_large',
           'ar_1', 'ar_10', 'ar_100', 'ar_small', 'ar_medium', 'ar_large')


def coco_score(images: list, label_names: tuple) -> dict:
    """Average precision and recall over IoUs of 0.50 to 0.95 (Lin et al., ECCV 2014).

    Difficult objects become crowds, as in ``chainercv.evaluations.eval_detection_coco``, because
    crowds are the only objects that pycocotools leaves out. A crowd takes any number of detections.
    Their overlap is the share of a detection inside the crowd, whereas VOC's rule takes the IoU.

    An object is small below 32 x 32 pixels and large from 96 x 96, by the area of its box. COCO's
    server uses the area of the outline, which is smaller. The means by size therefore differ from
    those of the server; all other numbers agree.

    5000 images with 20 detections each take about 10 seconds.

    Args:
        images: from :func:`multibox.evaluation.detect`.
        label_names: the foreground classes, in the order of their numbers.

    Returns:
        dict with a float for each name of :data:`SUMMARY`, and with ``ap``: {class name: float}. A
        number for which no object counts is None.
    """
    from pycocotools.coco import COCO  # imported late, because older versions import pyplot
    from pycocotools.cocoeval import COCOeval

    *predicted, bboxes, labels, difficults = images
    truth, found = COCO(), COCO()
    # A class without an object has no precision, and the list of 10,000 such classes would take
    # minutes and gigabytes.
    classes = sorted({int(n) for label in labels for n in label})
    for coco in truth, found:
        coco.dataset = {'images': [{'id': i} for i in range(len(bboxes))],
                        'categories': [{'id': n} for n in classes]}
    truth.dataset['annotations'] = _annotations('iscrowd', bboxes, labels, difficults)
    found.dataset['annotations'] = _annotations('score', *predicted)
    with contextlib.redirect_stdout(io.StringIO()):  # pycocotools prints each step
        truth.createIndex()
        found.createIndex()
        evaluation = COCOeval(truth, found, 'bbox')
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    precision = evaluation.eval['precision'][:, :, :, 0, -1]  # (IoUs, recalls, classes)
    ap = dict.fromkeys(label_names)
    for i, n in enumerate(classes):
        ap[label_names[n]] = _known(precision[:, :, i].mean())
    return {**dict(zip(SUMMARY, map(_known, evaluation.stats))), 'ap': ap}


def _known(value):
    return None if value < 0 else float(value)  # pycocotools gives -1 for unknown


def _annotations(name, bboxes, labels, values):
    """COCO's list of boxes (x, y, width, height), each with one of ``values`` under ``name``."""
    rows = [(i, *row) for i, image in enumerate(zip(bboxes, labels, values)) for row in zip(*image)]
    return [{'id': n, 'image_id': i, 'category_id': int(label), 'iscrowd': 0,
             'bbox': [float(x_min), float(y_min), float(x_max - x_min), float(y_max - y_min)],
             'area': float((y_max - y_min) * (x_max - x_min)), name: value.item()}
            for n, (i, (y_min, x_min, y_max, x_max), label, value) in enumerate(rows, start=1)]
