"""The published formulations of the loss, one per file.

Every file says what is its own of the four steps: ``match``, the rule from IoU to matched objects;
``multibox_loss``, which mines and normalises, of (mb_locs, mb_confs, gt_mb_locs, gt_mb_labels, k,
comm); and ``weigh``, from its two terms to what a network is trained on. The classes beside them
are the published interfaces.
"""
from multibox.losses import caffe, chainercv, notebook, ssd_keras, ssd_pytorch, super_gradients

LOSSES = {
    'caffe': caffe,
    'chainercv': chainercv,
    'notebook': notebook,
    'ssd_keras': ssd_keras,
    'ssd_pytorch': ssd_pytorch,
    'super_gradients': super_gradients,
}
