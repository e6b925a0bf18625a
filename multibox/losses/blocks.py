"""NumPy arrays in blocks of rows that fit the cache."""
from collections.abc import Iterator
from typing import Any

import numpy as np

BLOCK = 2 ** 18  # elements per block: 1 MB in single precision
SPAN = 2 ** 14  # boxes per block at most; one search for selected rows covers as many
# For numpy.errstate: losses that are not finite are mended, or belong to boxes that do not count.
IGNORED: Any = {'invalid': 'ignore', 'over': 'ignore', 'under': 'ignore'}
PRODUCT = 2 ** 13  # elements of a product that OpenBLAS computes in one thread


def all_rows(n: int, width: int) -> Iterator[slice]:
    """Yield slices that cover ``n`` rows of ``width`` elements, one block after another."""
    height = min(SPAN, max(1, BLOCK // width))
    for start in range(0, n, height):
        yield slice(start, min(start + height, n))


def selected_rows(mask: np.ndarray, width: int, least_share: float = 1
                  ) -> Iterator[np.ndarray | slice]:
    """Find the selected rows of an array, one block after another.

    Args:
        mask: (N,) NumPy array, not 0 where a row is selected.
        width: number of elements per row.
        least_share: where at least this share of the rows is selected, slices come that may hold
            others as well.

    Yields:
        (n,) int array of rising row indices, or a slice of n rows.
    """
    height = max(1, BLOCK // 2 // width)  # half a block, because gathered rows are copied again
    mask = mask.astype(bool, copy=False)
    # One search finds all, if these are few.
    span = min(SPAN, 2 * height) if np.count_nonzero(mask) > SPAN else max(1, len(mask))
    for start in range(0, len(mask), span):
        part = mask[start:start + span]
        if np.count_nonzero(part) >= least_share * len(part):
            for block in all_rows(len(part), width):
                yield slice(start + block.start, start + block.stop)
            continue
        rows = np.flatnonzero(part) + start
        for first in range(0, len(rows), height):
            yield rows[first:first + height]


def pick(x: np.ndarray, rows: np.ndarray | slice) -> np.ndarray:
    """The rows of :func:`selected_rows`; a view for a slice."""
    return x[rows] if isinstance(rows, slice) else x.take(rows, axis=0)  # take(): twice as fast


def row_sums(x: np.ndarray) -> np.ndarray:
    """The sums of the rows of an (n, C) array, by products, which are faster than ``sum``.

    The products are small, because OpenBLAS would divide a large one among its threads, and the
    last bits of a sum would then depend on their number.
    """
    height = max(1, PRODUCT // x.shape[1])
    whole = len(x) // height * height
    sums, ones = np.empty(len(x), x.dtype), np.ones(x.shape[1], x.dtype)
    np.matmul(x[:whole].reshape(-1, height, x.shape[1]), ones,
              out=sums[:whole].reshape(-1, height))
    np.matmul(x[whole:], ones, out=sums[whole:])
    return sums
