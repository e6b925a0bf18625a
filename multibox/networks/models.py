"""The networks by name."""
from collections.abc import Callable
from functools import partial

from multibox.networks.lite import LiteSSD300
from multibox.networks.slim import SlimSSD300
from multibox.networks.ssd import SSD
from multibox.networks.vgg import BOXES_300, BOXES_512, SSD300, SSD512

MODELS: dict[str, Callable[[int], SSD]] = {
    'ssd300': SSD300,
    'ssd512': SSD512,
    'slim300': SlimSSD300,
    'lite300': LiteSSD300,
    # Sec. 3.4 of the paper. The sizes in pixels are those of lufficc/SSD and, for SSD300, of
    # ssd.pytorch.
    'ssd300-coco': partial(SSD300, boxes=BOXES_300._replace(
        sizes=(21, 45, 99, 153, 207, 261, 315))),
    'ssd512-coco': partial(SSD512, boxes=BOXES_512._replace(
        sizes=(20.48, 51.2, 133.12, 215.04, 296.96, 378.88, 460.8, 542.72))),
    # Table 2 of the paper: without boxes of ratio 3, and with squares only.
    'ssd300-ratio2': partial(SSD300, boxes=BOXES_300._replace(aspect_ratios=((2,),) * 6)),
    'ssd300-square': partial(SSD300, boxes=BOXES_300._replace(aspect_ratios=((),) * 6)),
}


def make_detector(name: str, n_fg_class: int) -> SSD:
    """Build a network with random weights.

    Initial weights are drawn from ``numpy.random``; seed it for a repeatable start.

    Args:
        name: one of :data:`MODELS`.
        n_fg_class: number of classes without the background.

    Returns:
        A ``chainercv.links.model.ssd.SSD``. Called with (B, 3, insize, insize) float32 images, RGB
        minus ``model.mean``, it returns ``(mb_locs, mb_confs)``, (B, K, 4) and (B, K, C) Variables.

    Raises:
        KeyError: there is no network of this name.
    """
    return MODELS[name](n_fg_class)
