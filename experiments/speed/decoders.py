"""Decoders to time, and outputs of networks to time them on."""
from collections.abc import Callable
from typing import Any

from multibox import matching
from multibox.boxes import Coder

import numpy as np
from chainer.backends import cuda
from chainercv.links import SSD300

try:
    import torch
    import torchvision
except ImportError:
    torch = None

NMS_THRESH, SCORE_THRESH = 0.45, 0.01  # of evaluate.py
N_BOX = 8732


def _torchvision_decoder(coder):
    """A decoder with ``torchvision.ops.batched_nms``, for the default boxes of a coder."""
    default_bbox, (v_center, v_size) = torch.from_numpy(coder.default_bbox), coder.variance
    center, default_size = default_bbox[:, :2], default_bbox[:, 2:]

    def decode(mb_loc, mb_conf):
        mb_loc, mb_conf = torch.from_numpy(mb_loc), torch.from_numpy(mb_conf)
        score = torch.softmax(mb_conf, dim=1)[:, 1:]
        box, label = torch.nonzero(score >= SCORE_THRESH, as_tuple=True)
        size = default_size * torch.exp(mb_loc[:, 2:] * v_size)
        low = center + mb_loc[:, :2] * v_center * default_size - size / 2
        bbox = torch.cat((low, low + size), dim=1).float()
        kept = torchvision.ops.batched_nms(bbox[box], score[box, label], label, NMS_THRESH)
        box, label = box[kept], label[kept]
        return bbox[box].numpy(), label.int().numpy(), score[box, label].numpy()
    return decode


class ImageByImage:
    """ChainerCV's coder, for networks of this package, whose coders take a whole batch.

    Args:
        coder: ChainerCV's coder.
    """

    def __init__(self, coder: Any):
        self.decode, self.to_gpu = coder.decode, coder.to_gpu

    def decode_batch(self, mb_locs: Any, mb_confs: Any, nms_thresh: float, score_thresh: float
                     ) -> tuple[list, ...]:
        """Detections as ChainerCV's ``predict`` finds them: lists of arrays on the host."""
        found = [[cuda.to_cpu(array) for array in self.decode(*image, nms_thresh, score_thresh)]
                 for image in zip(mb_locs, mb_confs)]
        return tuple(map(list, zip(*found)))


def chainercvs_coder(model: Any) -> ImageByImage:
    """ChainerCV's coder for the classes of a network; the weights behind it stay without values."""
    return ImageByImage(SSD300(n_fg_class=model.n_fg_class).coder)


def make_decoders(model: Any) -> dict[str, Callable]:
    """Functions from the (K, 4) offsets and (K, C) logits of an image to detections, by name."""
    coders = {'chainercv': chainercvs_coder(model), 'multibox': model.coder}
    decoders = {name: lambda mb_loc, mb_conf, coder=coder: coder.decode(
        mb_loc, mb_conf, NMS_THRESH, SCORE_THRESH) for name, coder in coders.items()}
    return decoders | ({'torchvision': _torchvision_decoder(model.coder)} if torch else {})


def imitate_trained(coder: Coder, rng: np.random.Generator, n_class: int = 20, n_object: int = 8
                    ) -> tuple[np.ndarray, np.ndarray]:
    """Outputs like those of a trained network: (K, 4) and (K, n_class + 1) float32.

    The boxes around each object have its offsets and its class; the rest is noise.
    """
    corner = rng.uniform(0, 200, (n_object, 2))
    bbox = np.hstack((corner, corner + rng.uniform(30, 100, (n_object, 2)))).astype(np.float32)
    label = rng.integers(n_class, size=n_object)
    iou = matching.iou_with_default_boxes(coder.default_bbox, bbox)
    mb_loc, _ = matching.encode(
        bbox, label, matching.match_forced(iou, 0.3), coder.default_bbox, coder.variance)
    mb_conf = rng.standard_normal((len(iou), n_class + 1))
    mb_conf[:, 0] += 8.5
    for column, overlap in zip(label + 1, iou.T):
        mb_conf[:, column] += 12 * overlap
    return (mb_loc + 0.5 * rng.standard_normal(mb_loc.shape)).astype('f'), mb_conf.astype('f')


def imitate_untrained(rng: np.random.Generator, n_class: int = 20
                      ) -> tuple[np.ndarray, np.ndarray]:
    """Outputs like those of an untrained SSD300: each box is a candidate in each class."""
    mb_loc, mb_conf = ((0.3 * rng.standard_normal((N_BOX, n))).astype('f')
                       for n in (4, n_class + 1))
    return mb_loc, mb_conf
