"""The links of the networks; their parameters have the names of Chainer's and ChainerCV's links."""
from multibox.engines import convolution_2d, l2_normalize, pooled_convolution_2d, relu
from multibox.typing import ArrayOrVariable

import chainer
import chainer.links as L
from chainercv.links.model.ssd import Normalize


class Convolution2D(L.Convolution2D):
    """``chainer.links.Convolution2D``, computed by the current engine.

    The number of input channels has to be given, and the channels form one group.
    """

    def forward(self, x: ArrayOrVariable, relu: bool = False, pool: int | None = None
                ) -> chainer.Variable:
        """(B, in_channels, H, W) to (B, out_channels, out_h, out_w).

        Args:
            x: the maps.
            relu: whether a ReLU follows.
            pool: the side of windows of a max pooling that follows, before a ReLU. The link then
                needs a bias, and no dilation.
        """
        if pool is not None:
            return pooled_convolution_2d(x, self.W, self.b, pool, self.stride, self.pad)
        return convolution_2d(x, self.W, self.b, self.stride, self.pad, self.dilate, relu)


class NormalizedConvolution(chainer.Chain):
    """A convolution without bias, batch normalisation and ReLU; see Chainer's ``Convolution2D``."""

    def __init__(self, in_channels: int, out_channels: int, ksize: int = 3, stride: int = 1,
                 pad: int = 1):
        super().__init__()
        with self.init_scope():
            self.conv = Convolution2D(in_channels, out_channels, ksize, stride, pad, nobias=True)
            self.bn = L.BatchNormalization(out_channels)

    def forward(self, x: ArrayOrVariable) -> chainer.Variable:
        """(B, in_channels, H, W) to (B, out_channels, out_h, out_w)."""
        return relu(self.bn(self.conv(x)))


class L2Normalization(Normalize):
    """ChainerCV's ``Normalize``: unit length over channels, then a scale; one kernel on a GPU."""

    def forward(self, x: ArrayOrVariable) -> chainer.Variable:
        """(B, C, H, W) to the same."""
        return l2_normalize(x, self.scale, self.eps)
