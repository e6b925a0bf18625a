"""SSD's multibox loss and its trainer in Chainer and CuPy."""
from multibox import compat  # noqa: F401  first: it makes Chainer importable
from multibox.losses.chainercv import multibox_loss
from multibox.version import __version__

__all__ = ['__version__', 'multibox_loss']
