"""What kernels are told of an array: its type, and its order in memory."""
from typing import NamedTuple

import numpy as np

TYPES = {np.dtype(np.float32): 'float', np.dtype(np.float16): '__half'}


class Layout(NamedTuple):
    """An order of the axes (B, C, H, W) in memory: ``transpose`` takes them there, and back."""
    there: tuple
    back: tuple


STANDARD = Layout((0, 1, 2, 3), (0, 1, 2, 3))
CHANNELS_LAST = Layout((0, 2, 3, 1), (0, 3, 1, 2))


def layout(x):
    """The :class:`Layout` of x (B, C, H, W); of one that is not contiguous, the standard one."""
    return CHANNELS_LAST if x.transpose(CHANNELS_LAST.there).flags.c_contiguous else STANDARD
