"""Read .npz files: this project's, and those of ChainerCV's SSD300, SSD512 and VGG16."""
import re
import urllib.error

from multibox.errors import UserError

import chainercv
import numpy as np
from chainercv.links import SSD300


def open_npz(path):
    """All arrays of an .npz file by name, without unpickling.

    Raises:
        UserError: no such file, or not a readable .npz.
    """
    try:
        with open(path, 'rb') as file:
            arrays = np.load(file, allow_pickle=False)
            if isinstance(arrays, np.ndarray):
                raise ValueError('it holds a single array')
            arrays = dict(arrays)
            for name, array in arrays.items():
                if isinstance(array, bytes) or (array.ndim and array.dtype.kind not in 'fiub'):
                    raise ValueError(f'{name} is no array of numbers')
            return arrays
    except FileNotFoundError:
        raise UserError(f'{path}: no such file') from None
    except IsADirectoryError:
        raise UserError(f'{path}: is a folder; give the file in it') from None
    except Exception as error:  # a damaged archive ends NumPy, zipfile and zlib in many ways
        # NumPy's advice for what is no archive at all is to unpickle it.
        reason = 'no archive of arrays' if 'pickle' in str(error) else error
        raise UserError(f'{path}: not a readable .npz file ({reason})') from None


def read(path):
    """Weights of an .npz file by our names, which are those of ChainerCV's SSD.

    Returns:
        {name: array}. ChainerCV's VGG16 has its convolutions at the top, one level deeper each.
        Single numbers, a description or the counters of batch normalisation, are left out.

    Raises:
        UserError: no such file, or not a readable .npz.
    """
    return {re.sub(r'^(conv\d+_\d)(/conv)?/', r'extractor/\1/', name): array
            for name, array in open_npz(path).items() if array.ndim}


def imagenet():
    """VGG16 trained on ImageNet, from ChainerCV's site at first use.

    Raises:
        UserError: the download failed.
    """
    try:
        url = SSD300._models['imagenet']['url']
        return read(chainercv.utils.download.cached_download(url))
    except (urllib.error.URLError, OSError) as error:
        raise UserError(f'imagenet: the download failed ({error}); use hed, or the path of a file '
                        'you have') from None
