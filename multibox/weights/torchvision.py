"""The vgg16 of torchvision as the trunk of an SSD.

torchvision scales its images: RGB / 255, minus a mean, divided by a standard deviation. Networks of
this project take RGB from 0 to 255 minus another mean. The difference is folded into the first
convolution. It then gives the same outputs, but for the pixels at the border: the zeros that both
networks add around an image stand for colours that differ by less than one grey level.
"""
import pathlib

from multibox.errors import UserError
from multibox.networks.ssd import IMAGENET_MEAN
from multibox.weights.conventions import VGG16

import numpy as np

MEAN = np.array((0.485, 0.456, 0.406))  # RGB, of images from 0 to 1
STD = np.array((0.229, 0.224, 0.225))
INDICES = 0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28  # of the convolutions in `features`


def covers(arrays: dict[str, np.ndarray]) -> bool:
    """Whether the names are those of a VGG, or of an SSD on a VGG, of torchvision."""
    first = arrays.get('features.0.weight')
    return 'backbone.features.0.weight' in arrays or (
        first is not None and first.shape == (64, 3, 3, 3))


def convert(path: str | pathlib.Path, arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Convert a vgg16 of torchvision, and print what was done to it.

    ``features`` gives the 13 convolutions. ``classifier``, where it is in the file, gives conv6 and
    conv7. As in Sec. 3.1 of Liu et al., ECCV 2016, every third row and column of fc6 and every
    fourth output of fc6 and fc7 are kept. The convolutions of ``IMAGENET1K_FEATURES`` are those of
    Caffe and stay as they are; the file is known by a classifier without values.

    Args:
        path: the name of the file, for messages.
        arrays: {name: float32 array}.

    Returns:
        {name: float32 array}; the last layer of the classifier is left out.

    Raises:
        UserError: the network is not vgg16.
    """
    if 'backbone.features.0.weight' in arrays:
        raise UserError(f"{path}: is torchvision's ssd300_vgg16, whose layers and default boxes "
                        'differ from SSD300; train anew from --pretrained with a vgg16')
    features = {name for name in arrays if name.startswith('features.')}
    if features != {f'features.{i}.{leaf}' for i in INDICES for leaf in ('weight', 'bias')} or (
            arrays['features.0.bias'].shape != (64,)):
        raise UserError(f"{path}: is a VGG of torchvision, but not vgg16; give torchvision's vgg16")
    result = {f'extractor/{layer}/{new}': arrays[f'features.{i}.{old}']
              for i, layer in zip(INDICES, VGG16) for old, new in (('weight', 'W'), ('bias', 'b'))}
    W6 = arrays.get('classifier.0.weight', np.arange(2.))
    if not W6.min(initial=np.inf) < W6.max(initial=-np.inf):  # nan, or one number everywhere
        print(f"{path}: torchvision's vgg16 with the convolutions of Caffe, taken as they are")
        return result
    first = 'extractor/conv1_1'
    result[f'{first}/W'], result[f'{first}/b'] = fold(result[f'{first}/W'], result[f'{first}/b'])
    print(f"{path}: torchvision's vgg16; the scaling of its images is folded into conv1_1, which "
          'is exact but for the pixels at the border')
    names = [f'classifier.{i}.{leaf}' for i in (0, 3) for leaf in ('weight', 'bias')]
    fc = [arrays[name] for name in names if name in arrays]
    n = fc[-1].size if fc else 0
    if [array.shape for array in fc] == [(n, 512 * 7 * 7), (n,), (n, n), (n,)]:
        result |= reduce_classifier(*fc)
        print(f'{path}: conv6 and conv7 are every third row and column and every fourth output of '
              'its classifier')
    return result


def fold(W: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Convert the first convolution from images of torchvision to images of this project.

    Args:
        W: (out, 3, h, w) weights for RGB / 255, minus :data:`MEAN`, divided by :data:`STD`.
        b: (out,) biases.

    Returns:
        ``(W, b)`` in float32 for RGB from 0 to 255 minus the mean of this project.
    """
    scale = 1 / (255 * STD)
    offset = (IMAGENET_MEAN.ravel() / 255 - MEAN) / STD
    return ((W * scale[:, None, None]).astype(np.float32),
            (b + np.einsum('ochw,c->o', W.astype(float), offset)).astype(np.float32))


def reduce_classifier(W6: np.ndarray, b6: np.ndarray, W7: np.ndarray,
                      b7: np.ndarray) -> dict[str, np.ndarray]:
    """Reduce fc6 (4n, c * 7 * 7) and fc7 (4n, 4n) to conv6 (n, c, 3, 3) and conv7 (n, n, 1, 1).

    Args:
        W6, b6: weights and biases of fc6.
        W7, b7: weights and biases of fc7.

    Returns:
        {name: array} of conv6 and conv7.
    """
    return {'extractor/conv6/W': W6.reshape(len(W6), -1, 7, 7)[::4, :, ::3, ::3],
            'extractor/conv6/b': b6[::4],
            'extractor/conv7/W': W7[::4, ::4, None, None],
            'extractor/conv7/b': b7[::4]}
