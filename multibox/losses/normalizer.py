"""N of Eq. 1 (Liu et al., ECCV 2016): the number of positive boxes that divides the loss."""
from multibox.processes import as_processes
from multibox.typing import Array, Communicator

from chainer.backends import cuda


def mean_count(positive: Array, dtype: object, comm: Communicator = None) -> Array:
    """The number of positive boxes, as a divisor that is never 0.

    ChainerMN averages gradients over processes, so each process divides by the mean count. The
    averaged gradient is then the sum over all processes, divided by the positives of all.

    Args:
        positive: (B, K) bool array of this process.
        dtype: the float dtype of the result.
        comm: a ChainerMN communicator, or None for a single process.

    Returns:
        0-dimensional array on the device of ``positive``: the number of positives, averaged over
        processes, or 1 if no process has any. On a single process the host does not wait for it.
    """
    xp = cuda.get_array_module(positive)
    n_positive = as_processes(comm).mean(xp.asarray(positive.sum()))
    return xp.where(n_positive > 0, n_positive, 1).astype(dtype)
