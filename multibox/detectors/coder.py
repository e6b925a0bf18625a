"""From objects to targets and from predictions to detections, for one set of default boxes."""
from multibox import matching
from multibox.suppression import suppress

import numpy as np
from chainer.backends import cuda


class Coder:
    """Takes the place of ChainerCV's ``MultiboxCoder`` in a network, with the same results.

    Background boxes get offsets of 0, where ChainerCV's come from the image's last object.

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
            float32; class by class, by falling score within a class; without suppression by box.
        """
        xp = cuda.get_array_module(mb_loc)
        highest = mb_conf.T.copy().max(axis=0)[:, None]  # the copy makes it 10 times faster
        # Only where exp could leave float32: elsewhere probabilities are ChainerCV's to the bit
        probability = xp.exp(mb_conf - xp.where(abs(highest) < 80, 0, highest))
        probability /= probability.sum(axis=1, keepdims=True)
        score = probability.T[1:].copy()  # (C - 1, K)
        candidate = xp.nonzero((score >= score_thresh).any(axis=0))[0]
        score = score[:, candidate]
        bbox = matching.decode(mb_loc[candidate], self.default_bbox[candidate], self.variance)
        kept = suppress(bbox, score, nms_thresh, score_thresh)
        label = xp.concatenate([xp.full(len(kept[c]), c, np.int32) for c in range(len(kept))])
        index = xp.concatenate(kept)
        return bbox[index].astype(np.float32), label, score[label, index]
