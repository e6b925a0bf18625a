"""Read the .pth files of amdegroot/ssd.pytorch: its SSD300, and vgg16_reducedfc."""
import pathlib
import re

from multibox.errors import UserError
from multibox.weights.conventions import VGG16, swap_x_and_y

import numpy as np

# In older versions of torch a crafted file can run code despite weights_only (CVE-2025-32434).
NEEDED = 'python -m pip install "torch>=2.6"'
# The positions of the convolutions in the list of layers of ssd.pytorch.
INDICES = 0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28, 31, 33
LAYERS = dict(zip(INDICES, (*VGG16, 'conv6', 'conv7')))


def read(path: str | pathlib.Path) -> dict[str, np.ndarray]:
    """Read the weights of a state_dict, under the names of this project.

    A tensor without a counterpart keeps its name. ssd.pytorch takes RGB images minus
    (123, 117, 104), as this project does. Its L2Norm adds 1e-10 to the norm, and this project 1e-5.

    Returns:
        {name: float32 array}.

    Raises:
        UserError: torch is missing or too old, there is no such file, or it holds more than
            tensors.
    """
    arrays = {rename(name): array for name, array in _load(path).items()}
    swap_x_and_y(arrays)
    return arrays


def architecture(n_class: int) -> str:
    """The key of ``MODELS`` for ssd.pytorch's SSD300: ssd300 for 20 classes, else ssd300-coco."""
    return 'ssd300' if n_class == 20 else 'ssd300-coco'


def rename(name: str) -> str:
    """The name of a parameter of ssd.pytorch in this project, or else ``name`` itself."""
    part = re.fullmatch(r'(?:module\.)?(vgg\.|extras\.|loc\.|conf\.|L2Norm|)(\d*)\.?(weight|bias)',
                        name)
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


def _load(path):
    try:
        import torch
    except ImportError:
        raise UserError(f'{path}: reading .pth files needs torch; {NEEDED}') from None
    if tuple(map(int, torch.__version__.split('.')[:2])) < (2, 6):
        raise UserError(f'{path}: torch {torch.__version__} does not read files of others safely; '
                        f'{NEEDED}')
    try:
        tensors = torch.load(path, map_location='cpu', weights_only=True)
        if isinstance(tensors, dict) and all(
                isinstance(name, str) and isinstance(tensor, torch.Tensor)
                for name, tensor in tensors.items()):
            return {name: tensor.detach().float().numpy() for name, tensor in tensors.items()}
    except FileNotFoundError:
        raise UserError(f'{path}: no such file') from None
    except Exception as error:  # torch raises many errors at a damaged file
        raise UserError(f'{path}: not a file of weights alone, so it was not loaded '
                        f'({(str(error) or "empty").splitlines()[0]})') from None
    raise UserError(f'{path}: not a state_dict, a dict of tensors by name, as ssd.pytorch saves it')
