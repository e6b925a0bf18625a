"""The scale of a loss on a GPU, which adapts without the host."""
from collections.abc import Iterable
from typing import Any

from multibox.engines import kernels
from multibox.engines.updates.gpu import SOURCE, find_nonfinite
from multibox.typing import Array

import numpy as np


class Scale:
    """The scale of a loss, and the decision to leave out an update whose gradients overflow.

    Both lie on the GPU, so the host does not wait for them, and a CUDA graph can hold them.

    Args:
        xp: the array module, CuPy.
        multiplier: factor on the scale after an update, once gradients have overflowed before.
        largest: limit of the scale.

    Attributes:
        state: (3,) float64 array: the scale, whether gradients ever overflowed, and the number of
            updates that were left out since :meth:`write`.
        overflowed: (1,) int32 array: whether gradients of this update overflowed.
    """

    def __init__(self, xp: Any, multiplier: float, largest: float):
        self._xp, self._multiplier, self._largest = xp, multiplier, largest
        self.state, self.overflowed = xp.zeros(3), xp.zeros(1, np.int32)

    def write(self, scale: float, ever: bool) -> None:
        """Set the scale, and whether gradients ever overflowed."""
        self.state[...] = self._xp.asarray(np.array([scale, ever, 0], np.float64))

    def read(self) -> tuple[float, bool, int]:
        """The three numbers of ``state``; the host waits for the GPU."""
        scale, ever, n_left_out = self.state.tolist()
        return scale, bool(ever), int(n_left_out)

    def gradient(self, loss: Array) -> Array:
        """The scale as the gradient of a loss: an array of one element, in its shape and dtype."""
        return self.state[:1].astype(loss.dtype).reshape(loss.shape)

    def check(self, gradients: Iterable[Array]) -> None:
        """Note whether any gradient overflowed."""
        find_nonfinite(gradients, self.overflowed)

    def adapt(self) -> None:
        """End an update: halve the scale after an overflow, or else let it grow."""
        kernels.launch(SOURCE, 'adapt', 1, 1, self.state, self.overflowed,
                       np.float64(self._multiplier), np.float64(self._largest))
