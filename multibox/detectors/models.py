"""The networks by name."""
from multibox.detectors.coder import Coder
from multibox.detectors.slim import SlimSSD300

import chainer
import numpy as np
from chainercv.links import SSD300, SSD512

MODELS = {'ssd300': SSD300, 'ssd512': SSD512, 'slim300': SlimSSD300}


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
    model = MODELS[name](n_fg_class)
    # ChainerCV's coder keeps its boxes private; the library is final, so the names are safe.
    model.coder = Coder(model.coder._default_bbox, model.coder._variance)
    with chainer.using_config('train', False), chainer.no_backprop_mode():
        model(np.zeros((1, 3, model.insize, model.insize), np.float32))  # sizes the heads
    return model
