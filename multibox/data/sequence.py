"""The training examples of a whole run as one sequence, which is fixed before the run starts."""
import functools
from collections.abc import Callable
from typing import Any

from multibox.data.augmentation import seed_all

import numpy as np


class TrainingSequence:
    """Example ``t`` of a run: its image and its augmentation follow from (seed, t) alone.

    Every epoch is a new permutation of the images. The examples depend neither on the number of
    loader processes nor on whether the run was resumed.

    Args:
        dataset: gives ``(img, bbox, label, difficult)``, see :class:`multibox.data.VOCDataset`.
        transform: function from ``(img, bbox, label)`` to the training example. It may draw from
            the global generators of ``random`` and ``numpy.random``.
        seed: an integer >= 0.
        length: number of examples in the run, iterations times batch size.

    Attributes:
        rows: arrays to write the next example into; None makes new arrays. A transform with
            ``fields`` uses them, such as :class:`multibox.data.MakeTargets`.
    """

    def __init__(self, dataset: Any, transform: Callable, seed: int, length: int):
        self.dataset, self.transform = dataset, transform
        self.seed, self.length = seed, length
        self.rows: tuple | None = None
        self._permutation: tuple = None, None

    def __len__(self) -> int:
        return self.length

    def source(self, t: int) -> tuple[int, int]:
        """Epoch of example ``t``, and the index of its image in ``dataset``."""
        epoch, position = divmod(t, len(self.dataset))
        if self._permutation[0] != epoch:
            rng = np.random.default_rng((self.seed, epoch))
            self._permutation = epoch, rng.permutation(len(self.dataset))
        return epoch, int(self._permutation[1][position])

    def __getitem__(self, t: int) -> Any:
        """Load example ``t``, seed the generators by (seed, epoch, index), and transform it."""
        transform = self.transform
        if self.rows is not None and hasattr(transform, 'fields'):
            transform = functools.partial(transform, out=self.rows)
        return self.apply(transform, t)

    def apply(self, transform: Callable, t: int) -> Any:
        """Make example ``t`` by another transform, with the random draws of the run."""
        epoch, index = self.source(t)
        img, bbox, label, _ = self.dataset[index]
        seed_all(self.seed, epoch, index)
        return transform(img, bbox, label)
