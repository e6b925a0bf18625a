"""L2 normalisation over channels with a learned scale (Liu et al., ParseNet, ICLR 2016)."""
from multibox.engines import kernels
from multibox.engines.normalization.gpu import L2Normalize
from multibox.typing import ArrayOrVariable

import chainer
import chainer.functions as F


def l2_normalize(x: ArrayOrVariable, scale: ArrayOrVariable, eps: float = 1e-5
                 ) -> chainer.Variable:
    """x / (length of x over its channels + eps) * scale, as in ChainerCV's ``Normalize``.

    Args:
        x: (B, C, H, W) float array or Variable.
        scale: (C,) float array or Variable.
        eps: a small number, which keeps the divisor from 0.

    Returns:
        (B, C, H, W) Variable.
    """
    x, scale = chainer.as_variable(x), chainer.as_variable(scale)
    if kernels.takes(x.array) and x.dtype == scale.dtype:
        return L2Normalize(eps).apply((x, scale))[0]
    x = F.normalize(x, eps=eps, axis=1)
    return x * F.broadcast_to(scale[:, None, None], x.shape)
