"""The published formulations of the loss, one per file.

Every file defines the three steps in which formulations differ. ``match`` is the rule from IoU to
matched objects. ``multibox_loss`` mines and normalises; it takes (mb_locs, mb_confs, gt_mb_locs,
gt_mb_labels, k, comm). ``weigh`` joins its two terms to the loss that trains the network. The
classes in these files have the published interfaces.
"""
import inspect
from types import ModuleType

from multibox.losses import (
    balancap,
    caffe,
    chainercv,
    d2l,
    gluoncv,
    mmdet,
    notebook,
    nvidia,
    rykov8,
    sgrvinod,
    ssd_keras,
    ssd_pytorch,
    super_gradients,
    tf_od,
    torchvision,
)
from multibox.typing import Array

LOSSES: dict[str, ModuleType] = {module.__name__.rpartition('.')[2]: module for module in (
    balancap, caffe, chainercv, d2l, gluoncv, mmdet, notebook, nvidia, rykov8, sgrvinod, ssd_keras,
    ssd_pytorch, super_gradients, tf_od, torchvision)}


def priors_for(loss: ModuleType, default_bbox: Array) -> dict[str, Array]:
    """The default boxes as a keyword of ``multibox_loss``, if a formulation takes them.

    Args:
        loss: one of :data:`LOSSES`, or another module with such a function.
        default_bbox: (K, 4) float array of a network, centre and size.
    """
    takes = 'priors' in inspect.signature(loss.multibox_loss).parameters
    return {'priors': default_bbox} if takes else {}
