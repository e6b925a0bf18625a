"""The published formulations of the loss, one per file.

Every file defines the three steps in which formulations differ. ``match`` is the rule from IoU to
matched objects. ``multibox_loss`` mines and normalises; it takes (mb_locs, mb_confs, gt_mb_locs,
gt_mb_labels, k, comm). ``weigh`` joins its two terms to the loss that trains the network. The
classes in these files have the published interfaces.
"""
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

LOSSES: dict[str, ModuleType] = {module.__name__.rpartition('.')[2]: module for module in (
    balancap, caffe, chainercv, d2l, gluoncv, mmdet, notebook, nvidia, rykov8, sgrvinod, ssd_keras,
    ssd_pytorch, super_gradients, tf_od, torchvision)}
