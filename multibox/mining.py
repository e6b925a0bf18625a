"""Hard negative mining; the code is in ``multibox.losses.mining``."""
from multibox.losses.mining import (
    hard_negatives,
    hard_negatives_of_batch,
    hardest,
    hardest_with_positives,
)

__all__ = ['hard_negatives', 'hard_negatives_of_batch', 'hardest', 'hardest_with_positives']
