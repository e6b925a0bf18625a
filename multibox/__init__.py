"""SSD's multibox loss and its trainer in Chainer and CuPy.

    from multibox import multibox_loss

    loc_loss, conf_loss = multibox_loss(mb_locs, mb_confs, gt_mb_locs, gt_mb_labels, k=3)
"""
# ruff: noqa: E402
from multibox import interrupts

interrupts.watch_imports()  # the imports below take seconds

# compat comes before the others: it makes Chainer importable.
from multibox import compat, engines, kernels, losses, matching, mining  # noqa: F401
from multibox.errors import UserError
from multibox.losses import LOSSES
from multibox.losses.chainercv import multibox_loss
from multibox.networks import MODELS, make_detector
from multibox.version import __version__
from multibox.weights import load_model, save_model

__all__ = ['LOSSES', 'MODELS', 'UserError', '__version__', 'engines', 'kernels', 'load_model',
           'losses', 'make_detector', 'matching', 'mining', 'multibox_loss', 'save_model']
