"""From objects to targets and from predictions to detections, for one set of default boxes."""
import functools
from collections.abc import Callable

from multibox.boxes import offsets
from multibox.boxes.candidates import find_grids
from multibox.boxes.geometry import iou_with_default_boxes
from multibox.boxes.matching import match_bipartite
from multibox.boxes.suppression import suppress
from multibox.boxes.suppression_gpu import Suppression
from multibox.engines import kernels
from multibox.typing import Array

import numpy as np
from chainer.backends import cuda

CAFFES_LIMITS = 400, 200  # candidates per class, detections per image; ssd.pytorch: 200, no limit
IGNORED = -1  # the label of a region that is neither an object nor background


class Coder:
    """Replaces ChainerCV's ``MultiboxCoder`` in a network and gives the same results.

    Only the offsets of background boxes differ: they are 0 instead of those of the last object.

    Args:
        default_bbox: (K, 4) float array (center_y, center_x, height, width) in pixels. Replace it
            for other boxes instead of writing into it.
        variance: divisors of the offsets of centre and size.

    Attributes:
        limits: None, or the most candidates per class before suppression and the most detections
            per image after it, such as :data:`CAFFES_LIMITS`. ChainerCV has none.
    """

    limits: tuple[int, int] | None = None

    def __init__(self, default_bbox: Array, variance: tuple = (0.1, 0.2)):
        self.default_bbox = default_bbox
        self.variance = variance

    @property
    def default_bbox(self) -> Array:
        """The default boxes, as they were given."""
        return self._default_bbox

    @default_bbox.setter
    def default_bbox(self, default_bbox: Array) -> None:
        self._default_bbox = default_bbox
        self.__dict__.pop('_grids', None)  # of the boxes before

    @functools.cached_property
    def _grids(self):
        return find_grids(self.default_bbox)

    def to_cpu(self) -> None:
        """Move the default boxes to the host."""
        self.default_bbox = cuda.to_cpu(self.default_bbox)

    def to_gpu(self, device: int | None = None) -> None:
        """Move the default boxes to a GPU."""
        self.default_bbox = cuda.to_gpu(self.default_bbox, device=device)

    def encode(self, bbox: Array, label: Array, iou_thresh: float = 0.5,
               match: Callable[..., Array] = match_bipartite,
               out: tuple[Array, Array] | None = None) -> tuple[Array, Array]:
        """Match the objects of one image with the default boxes and encode them.

        Args:
            bbox: (R, 4) float array (y_min, x_min, y_max, x_max) in pixels; R may be 0.
            label: (R,) int array, classes from 0, or :data:`IGNORED`. Default boxes that match
                such a region, and no object, are ignored by the loss.
            iou_thresh: IoU from which a box is matched; the best box of an object always is.
            match: a rule of :mod:`multibox.matching`.
            out: arrays of the shapes and dtypes of the result, to write it into.

        Returns:
            ``(mb_loc, mb_label)``, (K, 4) float32 and (K,) int32; see
            :func:`multibox.matching.encode`.
        """
        real = label != IGNORED
        if real.all():
            return offsets.encode(bbox, label, self._match(bbox, iou_thresh, match),
                                  self.default_bbox, self.variance, out)
        near = self._match(bbox[~real], iou_thresh, match) >= 0
        mb_loc, mb_label = self.encode(bbox[real], label[real], iou_thresh, match, out)
        mb_label[near & (mb_label == 0)] = -1
        return mb_loc, mb_label

    def _match(self, bbox, iou_thresh, match):
        index = self._grids and self._grids.match(self.default_bbox, bbox, iou_thresh, match)
        if index is None:
            index = match(iou_with_default_boxes(self.default_bbox, bbox), iou_thresh)
        return index

    def decode(self, mb_loc: Array, mb_conf: Array, nms_thresh: float | None = 0.45,
               score_thresh: float = 0.6) -> tuple[Array, Array, Array]:
        """Detections of one image: a threshold on scores, then suppression within each class.

        :attr:`limits` keep the candidates and the detections with the highest scores.

        Args:
            mb_loc: (K, 4) float32 array, predicted offsets.
            mb_conf: (K, C) float32 array, logits; column 0 is the background.
            nms_thresh: if two boxes of a class have at least this IoU, the box with the lower
                score is dropped; None keeps all boxes.
            score_thresh: detections with a lower probability are dropped.

        Returns:
            ``(bbox, label, score)``: (R, 4) float32 pixels, (R,) int32 classes from 0, (R,)
            float32 probabilities, sorted by class. Within a class scores fall, or boxes keep their
            order if ``nms_thresh`` is None.
        """
        if kernels.is_on_gpu(mb_loc):
            rows, _ = self._detect(mb_loc[None], mb_conf[None], nms_thresh, score_thresh)
            return _columns(rows)
        score = _probability(mb_conf).T[1:].copy()  # (C - 1, K)
        candidate = np.flatnonzero((score >= score_thresh).any(axis=0))
        score = score[:, candidate]
        bbox = offsets.decode(mb_loc[candidate], self.default_bbox[candidate], self.variance)
        n_candidate, n_detection = self.limits or (None, None)
        kept = suppress(bbox, score, nms_thresh, score_thresh, n_candidate)
        label = np.concatenate([np.full(len(kept[c]), c, np.int32) for c in range(len(kept))])
        index = np.concatenate(kept)
        if n_detection is not None and len(index) > n_detection:
            best = np.sort(np.argsort(-score[label, index], kind='stable')[:n_detection])
            label, index = label[best], index[best]
        return bbox[index].astype(np.float32), label, score[label, index]

    def decode_batch(self, mb_locs: Array, mb_confs: Array, nms_thresh: float | None = 0.45,
                     score_thresh: float = 0.6) -> tuple[list, list, list]:
        """Detections of a batch, as :meth:`decode` finds them in each image.

        A GPU computes all images at once, and the host waits for it twice.

        Args:
            mb_locs: (B, K, 4) float32 array, predicted offsets.
            mb_confs: (B, K, C) float32 array, logits; column 0 is the background.
            nms_thresh, score_thresh: as for :meth:`decode`.

        Returns:
            ``(bboxes, labels, scores)``: lists of B arrays on the host.
        """
        if kernels.is_on_gpu(mb_locs):
            rows, ends = self._detect(mb_locs, mb_confs, nms_thresh, score_thresh)
            found = [_columns(image) for image in np.split(cuda.to_cpu(rows), ends[:-1])]
        else:
            found = [self.decode(mb_loc, mb_conf, nms_thresh, score_thresh)
                     for mb_loc, mb_conf in zip(mb_locs, mb_confs)]
        bboxes, labels, scores = ([image[i] for image in found] for i in range(3))
        return bboxes, labels, scores

    def _detect(self, mb_locs, mb_confs, nms_thresh, score_thresh):
        """The detections of a batch on a GPU; see :meth:`Suppression.detections`."""
        probability = _probability(mb_confs.reshape(-1, mb_confs.shape[2])).reshape(mb_confs.shape)
        n_candidate, n_detection = self.limits or (None, None)
        return Suppression(
            offsets.decode(mb_locs, self.default_bbox, self.variance),
            probability[:, :, 1:].transpose(0, 2, 1), nms_thresh, score_thresh, n_candidate,
        ).detections(n_detection)


def _columns(rows):
    return rows[:, :4].copy(), rows[:, 5].astype(np.int32), rows[:, 4].copy()


def _probability(mb_conf):
    """The softmax of logits, (K, C)."""
    xp = cuda.get_array_module(mb_conf)
    highest = mb_conf.T.copy().max(axis=0)[:, None]  # 10 times faster than without the copy
    # Logits are shifted only where exp would leave float32; the others round as in ChainerCV.
    probability = xp.exp(mb_conf - xp.where(abs(highest) < 80, 0, highest))
    probability /= probability.sum(axis=1, keepdims=True)
    return probability
