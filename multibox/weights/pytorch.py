"""Read the .pth files of amdegroot/ssd.pytorch: its SSD300, and vgg16_reducedfc."""
import re

from multibox.errors import UserError
from multibox.weights.conventions import VGG16, swap_x_and_y

# Before 2.6, a crafted file could run code despite weights_only (CVE-2025-32434).
NEEDED = 'python -m pip install "torch>=2.6"'
# Where the convolutions stand among the layers of ssd.pytorch's nn.Sequential-like list.
INDICES = 0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28, 31, 33
LAYERS = dict(zip(INDICES, (*VGG16, 'conv6', 'conv7')))


def read(path):
    """Weights of a state_dict by our names; a tensor we have no name for keeps its own.

    ssd.pytorch trains and evaluates on RGB minus (123, 117, 104), as we do: it subtracts the mean
    from BGR, then swaps. Its L2Norm adds 1e-10 to the norm, ours 1e-5.

    Returns:
        {name: array}.

    Raises:
        UserError: torch is missing or too old, no such file, or a file of more than tensors.
    """
    arrays = {rename(name): array for name, array in _load(path).items()}
    swap_x_and_y(arrays)
    return arrays


def architecture(n_class):
    """Which of ``MODELS`` ssd.pytorch's SSD300 is: COCO's for any number of classes but VOC's."""
    return 'ssd300' if n_class == 20 else 'ssd300-coco'


def rename(name):
    """Our name of a parameter of ssd.pytorch, or its own."""
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
    except Exception as error:  # torch's reader ends in many ways at a damaged file
        raise UserError(f'{path}: not a file of weights alone, so it was not loaded '
                        f'({(str(error) or "empty").splitlines()[0]})') from None
    raise UserError(f'{path}: not a state_dict, names to tensors, as ssd.pytorch saves it')
