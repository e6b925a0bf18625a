"""Softmax cross entropy per box and the n largest per row; the code is in ``multibox.losses``."""
from multibox.losses.cross_entropy import in_single_precision, softmax_cross_entropy
from multibox.losses.mining import n_largest

__all__ = ['in_single_precision', 'n_largest', 'softmax_cross_entropy']
