"""The detector around an extractor of feature maps: heads, default boxes, coder."""
from collections.abc import Iterable
from typing import Any, NamedTuple

from multibox.boxes import Coder
from multibox.boxes.coder import CAFFES_LIMITS
from multibox.engines import fork, join_heads
from multibox.networks.layers import Convolution2D
from multibox.resized import Resized, resize
from multibox.typing import ArrayOrVariable

import chainer
import chainer.functions as F
import chainercv.links.model.ssd
import numpy as np
from chainer.initializers import LeCunUniform, Zero
from chainercv.transforms import resize_bbox

IMAGENET_MEAN = np.array((123, 117, 104), np.float32)[:, None, None]  # RGB


class DefaultBoxes(NamedTuple):
    """The default boxes of a network (Liu et al., ECCV 2016, sec. 2.2).

    Attributes:
        aspect_ratios: a tuple per grid. The ratio 1 and the inverse ratios are added to it.
        steps: pixels between the centres of neighbouring boxes, one number per grid.
        sizes: sides of the square boxes in pixels, one number per grid, and one more at the end. A
            grid has a second square with the geometric mean of its size and the next size.
    """
    aspect_ratios: tuple
    steps: tuple
    sizes: tuple


class Multibox(chainer.Chain):
    """The heads: two 3 x 3 convolutions per feature map, one for offsets and one for logits.

    Args:
        channels: number of channels of each feature map.
        n_class: C, with the background.
        aspect_ratios: per feature map, see :class:`DefaultBoxes`.
        scale: factor on the random weights.
    """

    def __init__(self, channels: tuple, n_class: int, aspect_ratios: tuple, scale: float = 1):
        super().__init__()
        self.n_class, self.aspect_ratios = n_class, aspect_ratios
        with self.init_scope():
            self.loc, self.conf = chainer.ChainList(), chainer.ChainList()
        for n_channel, ratios in zip(channels, aspect_ratios):
            n_box = 2 * (len(ratios) + 1)  # per cell
            for heads, n in ((self.loc, 4), (self.conf, n_class)):
                heads.add_link(Convolution2D(
                    n_channel, n_box * n, 3, pad=1, initialW=LeCunUniform(scale),
                    initial_bias=Zero()))

    def forward(self, maps: list) -> tuple[chainer.Variable, chainer.Variable]:
        """Feature maps (B, channels, grid, grid) to ``(mb_locs, mb_confs)``.

        Returns:
            (B, K, 4) offsets and (B, K, C) logits, map by map, and cell by cell within a map.
        """
        results: tuple[list, list] = [], []
        for x, *heads in zip(maps, self.loc, self.conf):
            for head, h, result in zip(heads, fork(x, 2), results):
                result.append(head(h))
        return join_heads(results[0], 4), join_heads(results[1], self.n_class)


class SSD(chainercv.links.model.ssd.SSD):
    """ChainerCV's detector with the heads and the coder of this package.

    It computes in the dtype of its weights; its outputs are at least float32.

    Args:
        extractor: a link from images to feature maps. Its attributes are ``insize``, the side of
            its input in pixels, and per map ``grids``, the side in cells, and ``channels``.
        n_fg_class: number of classes without the background.
        boxes: the default boxes.
        mean: (3, 1, 1) float32 array, RGB, which is subtracted from images.
        scale: factor on the random weights of the heads.

    Attributes:
        threshold: the score from which a detection counts, as stored with the weights; None if the
            weights come without one.
    """

    coder: Any = None
    threshold: float | None = None

    def __init__(self, extractor: chainer.Link, n_fg_class: int, boxes: DefaultBoxes,
                 mean: np.ndarray = IMAGENET_MEAN, scale: float = 1):
        super().__init__(
            extractor, Multibox(extractor.channels, n_fg_class + 1, boxes.aspect_ratios, scale),
            boxes.steps, boxes.sizes, mean=mean)
        # ChainerCV keeps the boxes private; it has no further releases, so the names are safe.
        self.coder = Coder(self.coder._default_bbox, self.coder._variance)

    def use_preset(self, preset: str) -> None:
        """Set the thresholds as ChainerCV does.

        Args:
            preset: ``'visualize'``, or ``'evaluate'``, which also sets the limits of Caffe on
                candidates and detections; ``coder.limits = None`` lifts them.
        """
        super().use_preset(preset)
        if self.coder is not None:  # ChainerCV's constructor calls this method first
            self.coder.limits = CAFFES_LIMITS if preset == 'evaluate' else None

    @property
    def trunk(self) -> Any:
        """The part of the extractor that can be frozen; None for a network without one."""
        return getattr(self.extractor, 'trunk', None)

    def freeze(self, n: int) -> None:
        """Stop the learning of the first ``n`` parts of the trunk, if there is one.

        Call this method after the optimizer is set up.
        """
        if self.trunk:
            self.trunk.freeze(n)

    def forward(self, x: ArrayOrVariable) -> tuple[chainer.Variable, chainer.Variable]:
        """(B, 3, insize, insize) RGB images minus ``self.mean`` to (B, K, 4) and (B, K, C)."""
        dtype = self.multibox.loc[0].W.dtype
        outputs = self.multibox(self.extractor(F.cast(x, dtype)))
        return tuple(F.cast(y, np.promote_types(dtype, np.float32)) for y in outputs)

    def predict(self, imgs: Iterable) -> tuple[list, list, list]:
        """Detect objects in images of any sizes, as ChainerCV's networks do.

        A GPU gets all images in one copy, and computes their detections at once. The host waits
        for it twice per call.

        Args:
            imgs: (3, H, W) arrays on the host, RGB, 0 to 255, or
                :class:`multibox.resized.Resized`; at least one.

        Returns:
            ``(bboxes, labels, scores)``: lists with one array per image, on the host: (R, 4)
            float32 (y_min, x_min, y_max, x_max) in pixels of the image, (R,) int32 classes from 0,
            (R,) float32 probabilities; see :meth:`multibox.boxes.Coder.decode`.
        """
        imgs = list(imgs)
        with chainer.using_config('train', False), chainer.no_backprop_mode():
            outputs = self.forward(chainer.Variable(self._prepare_all(imgs)))
        bboxes, labels, scores = self.coder.decode_batch(
            *(y.array for y in outputs), self.nms_thresh, self.score_thresh)
        side = self.insize, self.insize
        return [resize_bbox(bbox, side, img.shape[1:])
                for bbox, img in zip(bboxes, imgs)], labels, scores

    def _prepare_all(self, imgs):
        """The input of the network for images of any sizes."""
        if self.xp is np:
            return np.stack([self._prepare(img) for img in imgs])
        pixels = self.xp.array([_resized(img, self.insize).pixels for img in imgs])  # asynchronous
        return pixels.transpose(0, 3, 1, 2) - self.xp.asarray(self.mean)

    def _prepare(self, img):
        return _resized(img, self.insize).pixels.transpose(2, 0, 1) - self.mean


def _resized(img, side):
    return img if isinstance(img, Resized) else resize(img, side)
