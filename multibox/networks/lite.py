"""SSD300 on EfficientNet-Lite0: for few images of your own, and for a CPU."""
from multibox.engines import fork
from multibox.networks.efficientnet import MAPS, EfficientNetLite0
from multibox.networks.layers import NormalizedConvolution
from multibox.networks.ssd import SSD
from multibox.networks.vgg import BOXES_300
from multibox.typing import ArrayOrVariable

import chainer
import chainer.links as L
import numpy as np

MEAN = np.full((3, 1, 1), 127, np.float32)  # of the trunk's images
HEAD_SCALE = 0.1  # with larger heads the loss begins at 17, and the first hundred updates undo it


class LiteExtractor(chainer.Chain):
    """EfficientNet-Lite0 and three further stages, to the six grids of SSD300.

    The maps of the trunk are normalised per batch, because their channels differ in scale. A
    convolution follows on the two finest maps, which end in a linear layer of the trunk.
    """

    insize = 300
    grids = (38, 19, 10, 5, 3, 1)
    channels = (128, 192, 320, 256, 256, 256)

    def __init__(self):
        super().__init__()
        conv = NormalizedConvolution
        with self.init_scope():
            self.trunk = EfficientNetLite0()
            self.norm38, self.norm19, self.norm10 = map(L.BatchNormalization, MAPS.values())
            self.conv38, self.conv19 = conv(40, 128), conv(112, 192)
            self.to5 = chainer.Sequential(conv(320, 128, 1, pad=0), conv(128, 256, stride=2))
            self.to3 = chainer.Sequential(conv(256, 128, 1, pad=0), conv(128, 256, stride=2))
            self.to1 = chainer.Sequential(conv(256, 128, 1, pad=0), conv(128, 256, pad=0))

    def forward(self, x: ArrayOrVariable) -> list[chainer.Variable]:
        """(B, 3, 300, 300) to six feature maps, (B, channels, grid, grid) each."""
        norms = self.norm38, self.norm19, self.norm10
        maps = [norm(h) for norm, h in zip(norms, self.trunk(x))]
        maps[:2] = self.conv38(maps[0]), self.conv19(maps[1])
        for stage in (self.to5, self.to3, self.to1):
            h, maps[-1] = fork(maps[-1], 2)
            maps.append(stage(h))
        return maps


class LiteSSD300(SSD):
    """SSD300 on :class:`LiteExtractor`: 8732 default boxes, about 6 M parameters.

    Args:
        n_fg_class: number of classes without the background.
    """

    def __init__(self, n_fg_class: int):
        super().__init__(LiteExtractor(), n_fg_class, BOXES_300, MEAN, HEAD_SCALE)
