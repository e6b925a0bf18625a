"""SSD300 and SSD512 of Liu et al., ECCV 2016, on VGG16, with ChainerCV's parameter names.

Three ReLUs come after the max pooling that follows their convolution. The result is the same in
either order. After the pooling, the ReLU and the gradient of the bias have a quarter of the pixels.
"""
from multibox.engines import fork, max_pooling_2d
from multibox.networks.layers import Convolution2D, L2Normalization
from multibox.networks.ssd import SSD, DefaultBoxes
from multibox.typing import ArrayOrVariable

import chainer
from chainer.initializers import Constant, LeCunUniform, Zero

BOXES_300 = DefaultBoxes(
    aspect_ratios=((2,), (2, 3), (2, 3), (2, 3), (2,), (2,)),
    steps=(8, 16, 32, 64, 100, 300),
    sizes=(30, 60, 111, 162, 213, 264, 315))
BOXES_512 = DefaultBoxes(
    aspect_ratios=((2,), (2, 3), (2, 3), (2, 3), (2, 3), (2,), (2,)),
    steps=(8, 16, 32, 64, 128, 256, 512),
    sizes=(35.84, 76.8, 153.6, 230.4, 307.2, 384.0, 460.8, 537.6))


class VGG16(chainer.Chain):
    """VGG16 up to conv7. Its fully connected layers are convolutions, and the first is dilated."""

    def __init__(self):
        super().__init__()
        with self.init_scope():
            self.conv1_1 = Convolution2D(3, 64, 3, pad=1)
            self.conv1_2 = Convolution2D(64, 64, 3, pad=1)

            self.conv2_1 = Convolution2D(64, 128, 3, pad=1)
            self.conv2_2 = Convolution2D(128, 128, 3, pad=1)

            self.conv3_1 = Convolution2D(128, 256, 3, pad=1)
            self.conv3_2 = Convolution2D(256, 256, 3, pad=1)
            self.conv3_3 = Convolution2D(256, 256, 3, pad=1)

            self.conv4_1 = Convolution2D(256, 512, 3, pad=1)
            self.conv4_2 = Convolution2D(512, 512, 3, pad=1)
            self.conv4_3 = Convolution2D(512, 512, 3, pad=1)
            self.norm4 = L2Normalization(512, initial=Constant(20))

            self.conv5_1 = Convolution2D(512, 512, 3, pad=1)
            self.conv5_2 = Convolution2D(512, 512, 3, pad=1)
            self.conv5_3 = Convolution2D(512, 512, 3, pad=1)

            self.conv6 = Convolution2D(512, 1024, 3, pad=6, dilate=6)
            self.conv7 = Convolution2D(1024, 1024, 1)

    def forward(self, x: ArrayOrVariable) -> list[chainer.Variable]:
        """(B, 3, insize, insize) to two maps: conv4_3, normalised, and conv7."""
        h = self.conv1_1(x, relu=True)
        h = self.conv1_2(h, relu=True, pool=2)

        h = self.conv2_1(h, relu=True)
        h = self.conv2_2(h, relu=True, pool=2)

        h = self.conv3_1(h, relu=True)
        h = self.conv3_2(h, relu=True)
        h = self.conv3_3(h, relu=True, pool=2)

        h = self.conv4_1(h, relu=True)
        h = self.conv4_2(h, relu=True)
        h, conv4_3 = fork(self.conv4_3(h, relu=True), 2)

        h = self.conv5_1(max_pooling_2d(h, 2), relu=True)
        h = self.conv5_2(h, relu=True)
        h = self.conv5_3(h, relu=True)

        h = self.conv6(max_pooling_2d(h, 3, stride=1, pad=1), relu=True)
        h = self.conv7(h, relu=True)
        return [self.norm4(conv4_3), h]


class _ExtendedVGG16(VGG16):
    """VGG16 and further stages: a 1 x 1 convolution, then a convolution that reduces the map."""

    n_stage: int

    def forward(self, x: ArrayOrVariable) -> list[chainer.Variable]:
        """(B, 3, insize, insize) to the feature maps (B, channels, grid, grid)."""
        maps = super().forward(x)
        for i in range(8, 8 + self.n_stage):
            h, maps[-1] = fork(maps[-1], 2)
            h = self[f'conv{i}_1'](h, relu=True)
            maps.append(self[f'conv{i}_2'](h, relu=True))
        return maps


class Extractor300(_ExtendedVGG16):
    """The feature maps of SSD300."""

    insize, n_stage = 300, 4
    grids = (38, 19, 10, 5, 3, 1)
    channels = (512, 1024, 512, 256, 256, 256)

    def __init__(self):
        super().__init__()
        new = {'initialW': LeCunUniform(), 'initial_bias': Zero()}
        with self.init_scope():
            self.conv8_1 = Convolution2D(1024, 256, 1, **new)
            self.conv8_2 = Convolution2D(256, 512, 3, stride=2, pad=1, **new)

            self.conv9_1 = Convolution2D(512, 128, 1, **new)
            self.conv9_2 = Convolution2D(128, 256, 3, stride=2, pad=1, **new)

            self.conv10_1 = Convolution2D(256, 128, 1, **new)
            self.conv10_2 = Convolution2D(128, 256, 3, **new)

            self.conv11_1 = Convolution2D(256, 128, 1, **new)
            self.conv11_2 = Convolution2D(128, 256, 3, **new)


class Extractor512(_ExtendedVGG16):
    """The feature maps of SSD512."""

    insize, n_stage = 512, 5
    grids = (64, 32, 16, 8, 4, 2, 1)
    channels = (512, 1024, 512, 256, 256, 256, 256)

    def __init__(self):
        super().__init__()
        new = {'initialW': LeCunUniform(), 'initial_bias': Zero()}
        with self.init_scope():
            self.conv8_1 = Convolution2D(1024, 256, 1, **new)
            self.conv8_2 = Convolution2D(256, 512, 3, stride=2, pad=1, **new)

            self.conv9_1 = Convolution2D(512, 128, 1, **new)
            self.conv9_2 = Convolution2D(128, 256, 3, stride=2, pad=1, **new)

            self.conv10_1 = Convolution2D(256, 128, 1, **new)
            self.conv10_2 = Convolution2D(128, 256, 3, stride=2, pad=1, **new)

            self.conv11_1 = Convolution2D(256, 128, 1, **new)
            self.conv11_2 = Convolution2D(128, 256, 3, stride=2, pad=1, **new)

            self.conv12_1 = Convolution2D(256, 128, 1, **new)
            self.conv12_2 = Convolution2D(128, 256, 4, pad=1, **new)


class SSD300(SSD):
    """SSD on images of 300 x 300 pixels, with 8732 default boxes unless others are given.

    Args:
        n_fg_class: number of classes without the background.
        boxes: the default boxes.
    """

    def __init__(self, n_fg_class: int, boxes: DefaultBoxes = BOXES_300):
        super().__init__(Extractor300(), n_fg_class, boxes)


class SSD512(SSD):
    """SSD on images of 512 x 512 pixels, with 24564 default boxes; see :class:`SSD300`."""

    def __init__(self, n_fg_class: int, boxes: DefaultBoxes = BOXES_512):
        super().__init__(Extractor512(), n_fg_class, boxes)
