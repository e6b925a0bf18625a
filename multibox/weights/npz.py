"""Read .npz files of this project, and of ChainerCV's SSD300, SSD512 and VGG16."""
import pathlib
import re
import urllib.error

from multibox.archives import read_arrays
from multibox.errors import UserError

import chainercv
import numpy as np
from chainercv.links import SSD300


def read(path: str | pathlib.Path) -> dict[str, np.ndarray]:
    """Read the weights of an .npz file, under the parameter names of ChainerCV's SSD.

    Returns:
        {name: array}. The convolutions of ChainerCV's VGG16, which have other names, are renamed.
        Single numbers, such as the counters of batch normalisation, are left out.

    Raises:
        UserError: there is no such file, or it is not a readable .npz.
    """
    return {re.sub(r'^(conv\d+_\d)(/conv)?/', r'extractor/\1/', name): array
            for name, array in read_arrays(path).items() if array.ndim}


def imagenet() -> dict[str, np.ndarray]:
    """Read a VGG16 trained on ImageNet; it is downloaded from ChainerCV's site at first use.

    Returns:
        {name: array}, as from :func:`read`.

    Raises:
        UserError: the download failed.
    """
    try:
        url = SSD300._models['imagenet']['url']
        return read(chainercv.utils.download.cached_download(url))
    except (urllib.error.URLError, OSError) as error:
        raise UserError(f'imagenet: the download failed ({error}); use hed, or the path of a file '
                        'on this machine') from None
