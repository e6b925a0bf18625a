"""Suppression on a GPU: launches of the kernels in suppression.cu, for all classes and images."""
from pathlib import Path

from multibox.boxes.geometry import floating
from multibox.engines import kernels
from multibox.typing import Array

import numpy as np
from chainer.backends import cuda

SOURCE = Path(__file__).with_name('suppression.cu')
THREADS = 256  # as in suppression.cu
TYPES = {'float32': 'float', 'float64': 'double'}  # of boxes


class Suppression:
    """Suppress in every class of every image in one launch, and hold the result on the GPU.

    Except among candidates of equal scores, the kept boxes and their order are those of
    :func:`multibox.boxes.suppress` on a CPU. Of equal scores, the boxes of the lowest indices
    become candidates on both. Among candidates of equal scores, the box of the highest index comes
    first; a CPU orders them as NumPy's argsort does.

    Args:
        bbox: (B, K, 4) float array (y_min, x_min, y_max, x_max), in pixels or any other unit.
        score: (B, C, K) float array, compared in float32.
        nms_thresh, score_thresh, n_candidate: as for :func:`multibox.boxes.suppress`.

    Attributes:
        kept: (B, C, N) int32 array, whose first ``n_kept`` entries per class are the indices of the
            kept boxes; N is K or ``n_candidate``.
        n_kept: (B, C) int32 array.
    """

    def __init__(self, bbox: Array, score: Array, nms_thresh: float | None, score_thresh: float,
                 n_candidate: int | None = None):
        xp = cuda.get_array_module(bbox)
        B, C, K = score.shape
        n_candidate = K if n_candidate is None else min(n_candidate, K)
        self._bbox = xp.ascontiguousarray(floating(bbox))
        self._score = xp.ascontiguousarray(score, np.float32)
        self._scratch = xp.empty((B, C, K), np.uint64)
        self.kept, self.n_kept = xp.empty((B, C, n_candidate), np.int32), xp.zeros((B, C), np.int32)
        if self.kept.size:
            self._launch('suppress', B * C, self._bbox, self._score, np.float32(score_thresh),
                         self._bbox.dtype.type(nms_thresh or 0), np.int32(nms_thresh is None),
                         np.int32(n_candidate), self._scratch, self.kept, self.n_kept,
                         np.int32(K), np.int32(C))

    def detections(self, n_detection: int | None = None) -> tuple[Array, np.ndarray]:
        """The detections of all images. The host waits once for the GPU.

        Args:
            n_detection: the most detections per image, those of the highest scores, and of equal
                scores those of the first classes; None for any number.

        Returns:
            ``(rows, ends)``: (M, 6) float32 array with y_min, x_min, y_max, x_max, score and class
            per detection, sorted by image and class, and within a class as the indices of
            :func:`multibox.boxes.suppress`; and (B,) int array on the host, the numbers of rows up
            to the end of each image.
        """
        xp = cuda.get_array_module(self.kept)
        B, C, n_candidate = self.kept.shape
        n = self.n_kept.sum(axis=1)
        ends = (n if n_detection is None else xp.minimum(n, n_detection)).cumsum().astype(np.int32)
        ends_on_host = cuda.to_cpu(ends).astype(int)
        rows = xp.empty((int(ends_on_host[-1]) if B else 0, 6), np.float32)
        if len(rows):
            self._launch('collect', B, self._bbox, self._score, self.kept, self.n_kept, ends,
                         self._scratch, rows, np.int32(n_candidate),
                         np.int32(self._score.shape[2]), np.int32(C))
        return rows, ends_on_host

    def _launch(self, kernel, grid, *args):
        kernels.launch(SOURCE, f'{kernel}<{TYPES[self._bbox.dtype.name]}>', grid, THREADS, *args)
