"""Weights of PyTorch: amdegroot/ssd.pytorch's SSD300 and vgg16_reducedfc, torchvision's vgg16."""
import functools
import pathlib
import re

from multibox.weights import checkpoints, safetensors_file, torch_files, torchvision
from multibox.weights.conventions import VGG16, swap_x_and_y

import numpy as np

SUFFIXES = '.pth', '.pt', '.pth.tar', '.bin', '.ckpt', '.safetensors'
# The positions of the convolutions in the list of layers of ssd.pytorch.
INDICES = 0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28, 31, 33
LAYERS = dict(zip(INDICES, (*VGG16, 'conv6', 'conv7')))


def read(path: str | pathlib.Path) -> dict[str, np.ndarray]:
    """Read the weights of a file of ``torch.save`` or a .safetensors, under this project's names.

    The file holds a state_dict, or a checkpoint with a state_dict among its values. No code in the
    file is run, and torch is not needed. See :func:`convert` for the names.

    Returns:
        {name: array} of float32, or of integers.

    Raises:
        UserError: there is no such file, it is damaged, or it holds no single state_dict.
    """
    if str(path).lower().endswith('.safetensors'):
        return convert(path, safetensors_file.read(path))
    return convert(path, torch_files.read(path, functools.partial(checkpoints.choose, path)))


def convert(path: str | pathlib.Path, arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Convert a state_dict to the names and the conventions of this project.

    A tensor without a counterpart keeps its name. ssd.pytorch takes RGB images minus
    (123, 117, 104), as this project does. Its L2Norm adds 1e-10 to the norm, and this project 1e-5.
    The vgg16 of torchvision is converted by :func:`multibox.weights.torchvision.convert`.

    Args:
        path: the name of the file, for messages.
        arrays: {name: float32 array}.

    Returns:
        {name: float32 array}.

    Raises:
        UserError: the weights are of a network of torchvision that cannot be converted.
    """
    arrays = checkpoints.without_prefix(path, arrays)
    if torchvision.covers(arrays):
        return torchvision.convert(path, arrays)
    arrays = {rename(name): array for name, array in arrays.items()}
    swap_x_and_y(arrays)
    return arrays


def architecture(n_class: int) -> str:
    """The key of ``MODELS`` for ssd.pytorch's SSD300: ssd300 for 20 classes, else ssd300-coco."""
    return 'ssd300' if n_class == 20 else 'ssd300-coco'


def rename(name: str) -> str:
    """The name of a parameter of ssd.pytorch in this project, or else ``name`` itself."""
    part = re.fullmatch(r'(vgg\.|extras\.|loc\.|conf\.|L2Norm|)(\d{0,3})\.?(weight|bias)', name)
    if part is None:
        return name
    kind, index = part[1].rstrip('.'), int(part[2] or 0)
    leaf = {'weight': 'W', 'bias': 'b'}[part[3]]
    if kind == 'L2Norm':
        return 'extractor/norm4/scale'
    if kind == 'extras':
        return f'extractor/conv{8 + index // 2}_{1 + index % 2}/{leaf}'
    if kind in ('loc', 'conf'):
        return f'multibox/{kind}/{index}/{leaf}'
    return f'extractor/{LAYERS[index]}/{leaf}' if index in LAYERS else name
