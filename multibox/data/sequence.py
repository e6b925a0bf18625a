"""The whole run as one sequence of training examples, known before it starts."""
from multibox.data.augmentation import seed_all

import numpy as np


class TrainingSequence:
    """Example ``t`` of a run: which image, and how it is augmented, follow from (seed, t) alone.

    Every epoch is a new permutation of the images. Neither the number of loader processes nor a
    resumed run changes what is seen.

    Args:
        dataset: gives ``(img, bbox, label, difficult)``, see :class:`multibox.data.VOCDataset`.
        transform: function of ``(img, bbox, label)``, its result is the training example. It may
            draw from the global generators of ``random`` and ``numpy.random``.
        seed: an integer >= 0.
        length: number of examples in the run, iterations times batch size.
    """

    def __init__(self, dataset, transform, seed, length):
        self.dataset, self.transform = dataset, transform
        self.seed, self.length = seed, length
        self._permutation = None, None

    def __len__(self):
        return self.length

    def source(self, t):
        """Epoch and index into ``dataset`` of example ``t``."""
        epoch, position = divmod(t, len(self.dataset))
        if self._permutation[0] != epoch:
            rng = np.random.default_rng((self.seed, epoch))
            self._permutation = epoch, rng.permutation(len(self.dataset))
        return epoch, int(self._permutation[1][position])

    def __getitem__(self, t):
        """Load, seed by (seed, epoch, index), and transform example ``t``."""
        epoch, index = self.source(t)
        img, bbox, label, _ = self.dataset[index]
        seed_all(self.seed, epoch, index)
        return self.transform(img, bbox, label)
