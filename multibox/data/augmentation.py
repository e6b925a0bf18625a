"""The augmentation of Liu et al., ECCV 2016, sec. 2.2, with the expansion of sec. 3.6."""
import random

import numpy as np
from chainercv import transforms
from chainercv.links.model.ssd import (
    random_crop_with_bbox_constraints,
    random_distort,
    resize_with_random_interpolation,
)

# Which steps are drawn at all. The paper's rows without a star have no expansion; the first row of
# its Table 2 has horizontal flips only.
AUGMENTATIONS = {'full': ('distort', 'expand', 'crop', 'interpolate'),
                 'no-expansion': ('distort', 'crop', 'interpolate'),
                 'flip': ()}


def augment(img, bbox, label, size, mean, steps=AUGMENTATIONS['full']):
    """Distort, expand, crop, resize, flip: the steps and their order in ChainerCV's trainer.

    Draws from the global generators of ``random`` and ``numpy.random``; see :func:`seed_all`.

    Args:
        img: (3, H, W) float32 array, RGB, 0 to 255.
        bbox: (R, 4) float32 array (y_min, x_min, y_max, x_max) in pixels; R may be 0.
        label: (R,) int32 array.
        size: side of the square result in pixels.
        mean: (3, 1, 1) float32 array, what the canvas of the expansion is filled with.
        steps: those to take besides resizing and flipping, an entry of :data:`AUGMENTATIONS`.

    Returns:
        ``(img, bbox, label)``: (3, size, size) float32; the objects whose centre is still inside.
    """
    if 'distort' in steps:
        img = random_distort(img)

    if 'expand' in steps and np.random.randint(2):
        img, param = transforms.random_expand(img, fill=mean, return_param=True)
        bbox = transforms.translate_bbox(
            bbox, y_offset=param['y_offset'], x_offset=param['x_offset'])

    if 'crop' in steps:
        img, param = random_crop_with_bbox_constraints(img, bbox, return_param=True)
        bbox, param = transforms.crop_bbox(
            bbox, y_slice=param['y_slice'], x_slice=param['x_slice'],
            allow_outside_center=False, return_param=True)
        label = label[param['index']]

    bbox = transforms.resize_bbox(bbox, img.shape[1:], (size, size))
    resize = resize_with_random_interpolation if 'interpolate' in steps else transforms.resize
    img = resize(img, (size, size))

    img, param = transforms.random_flip(img, x_random=True, return_param=True)
    bbox = transforms.flip_bbox(bbox, (size, size), x_flip=param['x_flip'])
    return img, bbox, label


def seed_all(*entropy):
    """Seed the global generators of ``random`` and ``numpy.random``, which :func:`augment` uses.

    Args:
        entropy: integers >= 0; the same ones give the same draws in every process, and another
            number of them gives others.
    """
    # The length goes first, because trailing zeros do not count: (7,) and (7, 0) would be one seed.
    state = np.random.SeedSequence((len(entropy), *entropy)).generate_state(2)
    random.seed(int(state[0]))
    np.random.seed(state[1])
