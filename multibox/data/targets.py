"""From an annotated image to what the loss is computed on."""
import copy

from multibox.data.augmentation import AUGMENTATIONS, augment
from multibox.matching import match_bipartite

import numpy as np


class MakeTargets:
    """Augment an image and match it with the default boxes; a class, so that workers receive it.

    Args:
        coder: a :class:`multibox.detectors.coder.Coder` on the host.
        size: side of the network's input in pixels.
        mean: (3, 1, 1) array, RGB, what the network expects to be subtracted.
        match: rule of :mod:`multibox.matching`.
        steps: of the augmentation, see :func:`multibox.data.augment`.
    """

    def __init__(self, coder, size, mean, match=match_bipartite, steps=AUGMENTATIONS['full']):
        self.coder = copy.copy(coder)  # the original may move to a GPU
        self.size, self.mean = size, np.asarray(mean, np.float32)
        self.match, self.steps = match, steps

    @property
    def nbytes(self):
        """Bytes of the three arrays of an example."""
        return 4 * (3 * self.size ** 2 + 5 * len(self.coder.default_bbox))

    def __call__(self, img, bbox, label):
        """One training example.

        Args:
            img: (3, H, W) uint8 or float32 array, RGB, 0 to 255.
            bbox: (R, 4) float32 array (y_min, x_min, y_max, x_max) in pixels.
            label: (R,) int32 array.

        Returns:
            ``(img, mb_loc, mb_label)``: (3, size, size) float32, (K, 4) float32, (K,) int32.
        """
        img, bbox, label = augment(img, bbox, label, self.size, self.mean, self.steps)
        img -= self.mean
        return img, *self.coder.encode(bbox, label, match=self.match)
