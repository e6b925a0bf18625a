"""A slim SSD300 for CPUs: SSD's six grids, default boxes and heads on a small trunk."""
import chainer
import numpy as np
from chainercv.links import Conv2DBNActiv
from chainercv.links.model.ssd import SSD, Multibox

IMAGENET_MEAN = np.array((123, 117, 104), np.float32)[:, None, None]  # RGB, as ChainerCV's SSD300


class SlimExtractor(chainer.Chain):
    """Strided convolutions with batch normalisation, 300 pixels to the six grids of SSD300."""

    insize = 300
    grids = (38, 19, 10, 5, 3, 1)

    def __init__(self):
        super().__init__()

        def conv(channels, ksize=3, stride=1, pad=1):
            return Conv2DBNActiv(None, channels, ksize, stride, pad)

        with self.init_scope():
            self.stem = conv(32, ksize=6, stride=4)  # maps above 75 x 75 cost a CPU the most
            self.to38 = chainer.Sequential(conv(64, stride=2), conv(64))
            self.to19 = chainer.Sequential(conv(128, stride=2), conv(128))
            self.to10 = chainer.Sequential(conv(128, stride=2), conv(128))
            self.to5 = conv(128, stride=2)
            self.to3 = conv(128, stride=2)
            self.to1 = conv(128, pad=0)

    def forward(self, x):
        """(B, 3, 300, 300) to six feature maps, (B, 64 or 128, grid, grid) each."""
        x = self.stem(x)
        maps = []
        for stage in (self.to38, self.to19, self.to10, self.to5, self.to3, self.to1):
            x = stage(x)
            maps.append(x)
        return maps


class SlimSSD300(SSD):
    """SSD300 on :class:`SlimExtractor`, 8732 default boxes, about 1 M parameters for few classes.

    Args:
        n_fg_class: number of classes without the background.
    """

    def __init__(self, n_fg_class):
        super().__init__(
            extractor=SlimExtractor(),
            multibox=Multibox(
                n_class=n_fg_class + 1,
                aspect_ratios=((2,), (2, 3), (2, 3), (2, 3), (2,), (2,))),
            steps=(8, 16, 32, 64, 100, 300),
            sizes=(30, 60, 111, 162, 213, 264, 315),
            mean=IMAGENET_MEAN)
