"""Types for annotations. Arrays are NumPy's on a CPU and CuPy's on a GPU."""
from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias, Union

import numpy as np

if TYPE_CHECKING:
    import chainer
    import cupy

Array: TypeAlias = Union['np.ndarray', 'cupy.ndarray']
ArrayOrVariable: TypeAlias = Union['np.ndarray', 'cupy.ndarray', 'chainer.Variable']
IntOrPair: TypeAlias = Union[int, 'tuple[int, int]']  # a pair has y first
# A communicator of ChainerMN, or an object of multibox.processes.
Communicator: TypeAlias = Any
