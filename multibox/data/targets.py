"""From an annotated image to a training example: augmentation and matching."""
import copy
from collections.abc import Callable
from typing import Any

from multibox.boxes.matching import match_bipartite
from multibox.data.augmentation import AUGMENTATIONS, augment

import numpy as np


class MakeTargets:
    """Augment an image and match its objects with the default boxes.

    This is a class, because the loader pickles it for its processes.

    Args:
        coder: a :class:`multibox.boxes.Coder` on the host.
        size: side of the network's input in pixels.
        mean: (3, 1, 1) array, RGB, which the network expects to be subtracted.
        match: a rule of :mod:`multibox.matching`.
        steps: steps of the augmentation, see :func:`multibox.data.augment`.
    """

    def __init__(self, coder: Any, size: int, mean: Any, match: Callable = match_bipartite,
                 steps: tuple | None = AUGMENTATIONS['full']):
        self.coder = copy.copy(coder)  # the original may move to a GPU
        self.size, self.mean = size, np.asarray(mean, np.float32)
        self.match, self.steps = match, steps

    @property
    def fields(self) -> list[tuple[tuple[int, ...], Any]]:
        """Shape and dtype of each of the three arrays of an example."""
        n_box = len(self.coder.default_bbox)
        return [((3, self.size, self.size), np.float32), ((n_box, 4), np.float32),
                ((n_box,), np.int32)]

    def without_augmentation(self) -> 'MakeTargets':
        """The same matching after resizing alone, which draws no random numbers."""
        plain = copy.copy(self)
        plain.steps = None
        return plain

    def __call__(self, img: np.ndarray, bbox: np.ndarray, label: np.ndarray,
                 out: tuple[np.ndarray, np.ndarray, np.ndarray] | None = None) -> tuple:
        """Make one training example.

        Args:
            img: (3, H, W) uint8 or float32 array, RGB, 0 to 255.
            bbox: (R, 4) float32 array (y_min, x_min, y_max, x_max) in pixels.
            label: (R,) int32 array, classes from 0.
            out: three arrays of the shapes and dtypes of the result, to write it into.

        Returns:
            ``(img, mb_loc, mb_label)``: (3, size, size) float32, (K, 4) float32, (K,) int32; see
            docs/conventions.md.
        """
        img, bbox, label = self.augment(img, bbox, label, out and out[0])
        img -= self.mean
        return img, *self.encode(bbox, label, out and out[1:])

    def augment(self, img: np.ndarray, bbox: np.ndarray, label: np.ndarray,
                out: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Augment an image with its objects; see :func:`multibox.data.augment`."""
        return augment(img, bbox, label, self.size, self.mean, self.steps, out)

    def encode(self, bbox: np.ndarray, label: np.ndarray,
               out: tuple[np.ndarray, np.ndarray] | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Match objects with the default boxes; see :meth:`multibox.boxes.Coder.encode`."""
        options = {} if out is None else {'out': out}
        return self.coder.encode(bbox, label, match=self.match, **options)
