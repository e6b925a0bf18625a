"""The published formulations of the loss, one per file.

Every file defines the three steps in which formulations differ. ``match`` is the rule from IoU to
matched objects. ``multibox_loss`` mines and normalises; it takes (mb_locs, mb_confs, gt_mb_locs,
gt_mb_labels, k, comm). ``weigh`` joins its two terms to the loss that trains the network. The
classes in these files have the published interfaces.
"""
from types import ModuleType

from multibox.losses import caffe, chainercv, notebook, ssd_keras, ssd_pytorch, super_gradients

LOSSES: dict[str, ModuleType] = {
    'caffe': caffe,
    'chainercv': chainercv,
    'notebook': notebook,
    'ssd_keras': ssd_keras,
    'ssd_pytorch': ssd_pytorch,
    'super_gradients': super_gradients,
}
