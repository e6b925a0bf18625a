"""A slim SSD300 for CPUs: the six grids, default boxes and heads of SSD on a small trunk."""
from multibox.engines import fork
from multibox.networks.layers import NormalizedConvolution
from multibox.networks.ssd import SSD
from multibox.networks.vgg import BOXES_300
from multibox.typing import ArrayOrVariable

import chainer


class SlimExtractor(chainer.Chain):
    """Strided convolutions with batch normalisation, from 300 pixels to the six grids of SSD300."""

    insize = 300
    grids = (38, 19, 10, 5, 3, 1)
    channels = (64, 128, 128, 128, 128, 128)

    def __init__(self):
        super().__init__()
        conv = NormalizedConvolution
        with self.init_scope():
            self.stem = conv(3, 32, ksize=6, stride=4)  # maps above 75 x 75 would take longest
            self.to38 = chainer.Sequential(conv(32, 64, stride=2), conv(64, 64))
            self.to19 = chainer.Sequential(conv(64, 128, stride=2), conv(128, 128))
            self.to10 = chainer.Sequential(conv(128, 128, stride=2), conv(128, 128))
            self.to5 = conv(128, 128, stride=2)
            self.to3 = conv(128, 128, stride=2)
            self.to1 = conv(128, 128, pad=0)

    def forward(self, x: ArrayOrVariable) -> list[chainer.Variable]:
        """(B, 3, 300, 300) to six feature maps, (B, 64 or 128, grid, grid) each."""
        h = self.stem(x)
        maps = []
        for stage in (self.to38, self.to19, self.to10, self.to5, self.to3, self.to1):
            h, to_heads = fork(stage(h), 2)
            maps.append(to_heads)
        return maps


class SlimSSD300(SSD):
    """SSD300 on :class:`SlimExtractor`: 8732 default boxes, about 1 M parameters for few classes.

    Args:
        n_fg_class: number of classes without the background.
    """

    def __init__(self, n_fg_class: int):
        super().__init__(SlimExtractor(), n_fg_class, BOXES_300)
