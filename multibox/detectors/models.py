"""The networks by name."""
from typing import NamedTuple

from multibox.detectors.coder import Coder
from multibox.detectors.slim import SlimSSD300

import chainer
import numpy as np
from chainercv.links import SSD300, SSD512
from chainercv.links.model.ssd import Multibox, MultiboxCoder


class DefaultBoxes(NamedTuple):
    """Default boxes other than those a network was published with on VOC.

    Attributes:
        aspect_ratios: of each grid, besides 1 and besides their inverses.
        steps: pixels between neighbours on each grid.
        sizes: pixels, of each grid and one more.
    """
    aspect_ratios: tuple
    steps: tuple = (8, 16, 32, 64, 100, 300)
    sizes: tuple = (30, 60, 111, 162, 213, 264, 315)


MODELS = {
    'ssd300': (SSD300, None),
    'ssd512': (SSD512, None),
    'slim300': (SlimSSD300, None),
    # Sec. 3.4 of the paper; in pixels, the numbers of lufficc/SSD, SSD300's also of ssd.pytorch.
    'ssd300-coco': (SSD300, DefaultBoxes(
        aspect_ratios=((2,), (2, 3), (2, 3), (2, 3), (2,), (2,)),
        sizes=(21, 45, 99, 153, 207, 261, 315))),
    'ssd512-coco': (SSD512, DefaultBoxes(
        aspect_ratios=((2,), (2, 3), (2, 3), (2, 3), (2, 3), (2,), (2,)),
        steps=(8, 16, 32, 64, 128, 256, 512),
        sizes=(20.48, 51.2, 133.12, 215.04, 296.96, 378.88, 460.8, 542.72))),
    # Table 2 of the paper: without boxes of ratio 3, and without any but squares.
    'ssd300-ratio2': (SSD300, DefaultBoxes(aspect_ratios=((2,),) * 6)),
    'ssd300-square': (SSD300, DefaultBoxes(aspect_ratios=((),) * 6)),
}


def make_detector(name, n_fg_class):
    """Build a network with random weights, all parameters allocated.

    Initial weights are drawn from ``numpy.random``: seed it for a repeatable start.

    Args:
        name: one of :data:`MODELS`.
        n_fg_class: number of classes without the background.

    Returns:
        A ``chainercv.links.model.ssd.SSD``: called with (B, 3, insize, insize) float32 images, RGB
        minus ``model.mean``, it gives ``(mb_locs, mb_confs)``, (B, K, 4) and (B, K, C) Variables.
    """
    network, boxes = MODELS[name]
    model = network(n_fg_class)
    if boxes:
        model.coder = MultiboxCoder(model.extractor.grids, *boxes, variance=(0.1, 0.2))
        del model.multibox
        with model.init_scope():
            model.multibox = Multibox(n_fg_class + 1, boxes.aspect_ratios)
    # ChainerCV's coder keeps its boxes private; the library is final, so the names are safe.
    model.coder = Coder(model.coder._default_bbox, model.coder._variance)
    with chainer.using_config('train', False), chainer.no_backprop_mode():
        model(np.zeros((1, 3, model.insize, model.insize), np.float32))  # sizes the heads
    return model
