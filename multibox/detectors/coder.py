"""From objects to targets and from predictions to detections, for one set of default boxes."""
from multibox import matching

import chainercv.utils
import numpy as np
from chainer.backends import cuda


class Coder:
    """Takes the place of ChainerCV's ``MultiboxCoder`` in a network, with the same results.

    Background boxes get offsets of 0, where ChainerCV's come from the image's last object; and
    suppression on a CPU compares each kept box with all others at once.

    Args:
        default_bbox: (K, 4) float array (center_y, center_x, height, width) in pixels.
        variance: divisors of the offsets of centre and size.
    """

    def __init__(self, default_bbox, variance=(0.1, 0.2)):
        self.default_bbox = default_bbox
        self.variance = variance

    def to_cpu(self):
        """Move the default boxes to the host."""
        self.default_bbox = cuda.to_cpu(self.default_bbox)

    def to_gpu(self, device=None):
        """Move the default boxes to a GPU."""
        self.default_bbox = cuda.to_gpu(self.default_bbox, device=device)

    def encode(self, bbox, label, iou_thresh=0.5, match=matching.match_bipartite):
        """Match one image's objects and encode them.

        Args:
            bbox: (R, 4) float array (y_min, x_min, y_max, x_max) in pixels; R may be 0.
            label: (R,) int array, classes from 0.
            iou_thresh: IoU from which a box is matched; each object's best box always is.
            match: rule of :mod:`multibox.matching`, from (K, R) IoU and threshold to (K,) objects.

        Returns:
            ``(mb_loc, mb_label)``, (K, 4) float32 and (K,) int32; see :func:`matching.encode`.
        """
        iou = matching.iou_with_default_boxes(self.default_bbox, bbox)
        return matching.encode(
            bbox, label, match(iou, iou_thresh), self.default_bbox, self.variance)

    def decode(self, mb_loc, mb_conf, nms_thresh=0.45, score_thresh=0.6):
        """Detections of one image: scores above a threshold, then suppression within each class.

        Args:
            mb_loc: (K, 4) float32 array, predicted offsets.
            mb_conf: (K, C) float32 array, logits; column 0 is the background.
            nms_thresh: of two boxes of a class with at least this IoU the lower score goes; None
                keeps all.
            score_thresh: detections with a lower probability go.

        Returns:
            ``(bbox, label, score)``: (R, 4) float32 pixels, (R,) int32 classes from 0, (R,)
            float32; class by class, by falling score within a class.
        """
        xp = cuda.get_array_module(mb_loc)
        all_bbox = matching.decode(mb_loc, self.default_bbox, self.variance)
        probability = xp.exp(mb_conf - mb_conf.max(axis=1, keepdims=True))
        probability /= probability.sum(axis=1, keepdims=True)
        bbox, label, score = [], [], []
        for c in range(mb_conf.shape[1] - 1):
            likely = xp.nonzero(probability[:, c + 1] >= score_thresh)[0]
            kept = likely
            if nms_thresh is not None:
                kept = likely[suppress(all_bbox[likely], probability[likely, c + 1], nms_thresh)]
            bbox.append(all_bbox[kept].astype(np.float32))
            label.append(xp.full(len(kept), c, np.int32))
            score.append(probability[kept, c + 1])
        return xp.concatenate(bbox), xp.concatenate(label), xp.concatenate(score)


def suppress(bbox, score, thresh):
    """Greedy non-maximum suppression of one class.

    Args:
        bbox: (R, 4) float array (y_min, x_min, y_max, x_max).
        score: (R,) float array.
        thresh: IoU from which the lower score of two boxes is dropped.

    Returns:
        (S,) int array, the indices kept, by falling score.
    """
    if cuda.get_array_module(bbox) is not np:
        return chainercv.utils.non_maximum_suppression(bbox, thresh, score)
    order = score.argsort()[::-1]
    y_min, x_min, y_max, x_max = bbox[order].T.copy()
    area = (y_max - y_min) * (x_max - x_min)
    alive = np.ones(len(order), bool)
    for i in range(len(order)):
        if alive[i]:
            rest = slice(i + 1, None)
            height = np.minimum(y_max[i], y_max[rest]) - np.maximum(y_min[i], y_min[rest])
            width = np.minimum(x_max[i], x_max[rest]) - np.maximum(x_min[i], x_min[rest])
            intersection = np.maximum(height, 0) * np.maximum(width, 0)
            with np.errstate(invalid='ignore', divide='ignore'):  # nan overlaps nothing
                iou = intersection / (area[i] + area[rest] - intersection)
            alive[rest] &= ~(iou >= thresh)
    return order[alive].astype(np.int32)
