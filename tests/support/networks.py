"""Networks for tests, and the outputs of a network."""
from multibox.networks import make_detector

import chainer
import numpy as np


def forward(model, x=None):
    """Offsets and logits as arrays, for images ``x`` or for two random images."""
    if x is None:
        x = np.random.RandomState(0).uniform(-120, 130, (2, 3, model.insize, model.insize))
    with chainer.using_config('train', False), chainer.no_backprop_mode():
        return [y.array for y in model(x.astype('f'))]


def moderate_model(n_fg_class):
    """A random slim300 whose scores spread from 0 to 1, with some dozens above 0.8 per image."""
    np.random.seed(0)
    model = make_detector('slim300', n_fg_class)
    for head in *model.multibox.loc, *model.multibox.conf:
        head.W.array *= .1  # else nearly all scores are 0 or 1, and boxes leave the image
    return model
