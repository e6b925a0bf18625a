"""EfficientNet-Lite0 up to its last block, with its batch normalisations folded into the weights.

Tan and Le, EfficientNet, ICML 2019; the Lite variant of its authors has no squeeze-and-excitation,
and ReLU6 as its activation. A block is the inverted residual of MobileNetV2 (Sandler et al., CVPR
2018). The padding is TensorFlow's "same": with a stride of 2 it can be larger below and to the
right than above and to the left.
"""
from multibox.engines import convolution_2d, fork
from multibox.typing import ArrayOrVariable

import chainer
import chainer.links as L
from chainer.initializers import HeNormal

# Per stage: blocks, kernel, stride of the first block, expansion, channels.
STAGES = ((1, 3, 1, 1, 16), (2, 3, 2, 6, 24), (2, 5, 2, 6, 40), (3, 3, 2, 6, 80),
          (3, 5, 1, 6, 112), (4, 5, 2, 6, 192), (1, 3, 1, 6, 320))
STEM = 32  # channels
N_PART = 1 + sum(n_block for n_block, *_ in STAGES)  # the stem and the blocks
MAPS = {4: 40, 10: 112, 15: 320}  # the last block of each grid, and its channels
CEILING = 6.  # of ReLU6


class SameConvolution(L.Convolution2D):
    """A convolution with TensorFlow's "same" padding: the map shrinks by the stride alone.

    Args:
        in_channels, out_channels, ksize, stride, groups: as for ``chainer.links.Convolution2D``.
    """

    def __init__(self, in_channels: int, out_channels: int, ksize: int, stride: int = 1,
                 groups: int = 1):
        super().__init__(in_channels, out_channels, ksize, stride, groups=groups,
                         initialW=HeNormal())

    def forward(self, x: ArrayOrVariable, relu6: bool = False) -> chainer.Variable:
        """(B, in_channels, H, W) to (B, out_channels, out_h, out_w); sides are rounded up."""
        (stride, _), ksize = self.stride, self.W.shape[2]
        above, left = (max(0, -size % stride + ksize - stride) // 2 for size in x.shape[2:])
        return convolution_2d(x, self.W, self.b, stride, (above, left), relu=relu6,
                              groups=self.groups, cover_all=True, ceiling=CEILING)


class InvertedResidual(chainer.Chain):
    """1 x 1 expansion, depthwise convolution, 1 x 1 projection; a shortcut where shapes agree."""

    def __init__(self, in_channels: int, out_channels: int, ksize: int, stride: int,
                 expansion: int):
        super().__init__()
        n = expansion * in_channels
        self.has_shortcut = stride == 1 and in_channels == out_channels
        with self.init_scope():
            self.expand = SameConvolution(in_channels, n, 1) if expansion > 1 else None
            self.depthwise = SameConvolution(n, n, ksize, stride, groups=n)
            self.project = SameConvolution(n, out_channels, 1)

    def forward(self, x: ArrayOrVariable) -> chainer.Variable:
        """(B, in_channels, H, W) to (B, out_channels, out_h, out_w)."""
        shortcut = None
        if self.has_shortcut:
            x, shortcut = fork(x, 2)
        h = x if self.expand is None else self.expand(x, relu6=True)
        h = self.project(self.depthwise(h, relu6=True))
        return h if shortcut is None else h + shortcut


class EfficientNetLite0(chainer.Chain):
    """The trunk; its input is RGB images minus 127.

    Attributes:
        n_frozen: number of blocks, counted with the stem, that do not learn. They cost a forward
            pass only. See :meth:`freeze`.
    """

    def __init__(self):
        super().__init__()
        self.n_frozen = 0
        with self.init_scope():
            self.stem = SameConvolution(3, STEM, 3, stride=2)
            self.blocks = chainer.ChainList()
        channels = STEM
        for n_block, ksize, stride, expansion, out_channels in STAGES:
            for i in range(n_block):
                self.blocks.add_link(InvertedResidual(
                    channels, out_channels, ksize, 1 if i else stride, expansion))
                channels = out_channels

    @property
    def parts(self) -> tuple[chainer.Link, ...]:
        """The stem and the blocks, from the image on."""
        return self.stem, *self.blocks

    def freeze(self, n: int) -> None:
        """Stop the learning of the stem and of the blocks before block ``n - 1``.

        Call this method after ``setup`` of the optimizer, because ``setup`` makes the rules of
        update that this method switches off. The rules would let weights decay without a gradient.

        Args:
            n: number of parts that stop, from 0; 1 is the stem alone.
        """
        self.n_frozen = n
        for i, part in enumerate(self.parts):
            (part.disable_update if i < n else part.enable_update)()

    def forward(self, x: ArrayOrVariable) -> list[chainer.Variable]:
        """(B, 3, 300, 300) to three maps: (B, 40, 38, 38), (B, 112, 19, 19), (B, 320, 10, 10)."""
        maps = []
        for i, part in enumerate(self.parts):
            with chainer.using_config('enable_backprop', chainer.config.enable_backprop
                                      and i >= self.n_frozen):
                x = part(x / 128, relu6=True) if i == 0 else part(x)
            if i - 1 in MAPS:
                x, to_heads = fork(x, 2)
                maps.append(to_heads)
        return maps
