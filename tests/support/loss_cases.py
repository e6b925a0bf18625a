"""Cases of the loss on matched boxes, and a communicator of two processes."""
import numpy as np

# Names of ChainerCV's golden files.
CASES = ('typical', 'crowded', 'fractional_ratio', 'large_logits', 'all_negatives_mined',
         'no_positive', 'one_class')


def random_case(B, K, C, p_positive, seed, p_ignored=0.):
    rng = np.random.RandomState(seed)
    chance = rng.uniform(size=(B, K))
    gt_mb_labels = np.where(chance < p_positive, rng.randint(1, C, (B, K)), 0)
    gt_mb_labels[rng.uniform(size=(B, K)) < p_ignored] = -1
    return (rng.normal(size=(B, K, 4)).astype('f'), rng.normal(size=(B, K, C), scale=3).astype('f'),
            rng.normal(size=(B, K, 4)).astype('f'), gt_mb_labels.astype('i'))


class FakeCommunicator:
    """A communicator of two processes. The other process counted ``n_other`` positives."""

    size = 2

    def __init__(self, n_other):
        self.n_other = n_other

    def allreduce(self, array):
        assert isinstance(array, np.ndarray), 'an object would be pickled'
        return array + self.n_other
