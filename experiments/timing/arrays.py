"""Random arrays to time with; this file needs NumPy alone."""
from typing import Any

import numpy as np


def random_array(rng: Any, shape: tuple, dtype: Any = np.float32,
                 channels_last: bool = False) -> Any:
    """Standard normal numbers, from a generator of NumPy or CuPy.

    With ``channels_last`` the channels of (B, C, H, W) are innermost in memory.
    """
    if channels_last:
        n, c, h, w = shape
        return random_array(rng, (n, h, w, c), dtype).transpose(0, 3, 1, 2)
    return rng.standard_normal(shape, np.float32).astype(dtype, copy=False)


def random_case(B: int, K: int, C: int, p_positive: float, seed: int = 0) -> tuple:
    """Arguments of a loss, with a share of positive boxes and at least one per image.

    Returns:
        ``(mb_locs, mb_confs, gt_mb_locs, gt_mb_labels)``: (B, K, 4), (B, K, C) and (B, K, 4)
        float32, (B, K) int32.
    """
    rng = np.random.default_rng(seed)
    mb_locs, gt_mb_locs = rng.standard_normal((2, B, K, 4), np.float32)
    mb_confs = 2 * rng.standard_normal((B, K, C), np.float32)
    positive = rng.uniform(size=(B, K)) < p_positive
    positive[:, 0] = True
    labels = np.where(positive, rng.integers(1, C, (B, K)), 0).astype(np.int32)
    return mb_locs, mb_confs, gt_mb_locs, labels


def random_batch(batchsize: int, insize: int, n_box: int) -> tuple:
    """A training batch of 20 classes; one default box in 200 is positive.

    Returns:
        ``(imgs, gt_mb_locs, gt_mb_labels)``: (B, 3, insize, insize) and (B, K, 4) float32, (B, K)
        int32.
    """
    rng = np.random.default_rng(0)
    labels = rng.integers(1, 21, (batchsize, n_box)) * (rng.uniform(size=(batchsize, n_box)) < .005)
    return (60 * random_array(rng, (batchsize, 3, insize, insize)),
            random_array(rng, (batchsize, n_box, 4)), labels.astype(np.int32))
