"""The initial weights of a network: pretrained, or of a network with other classes."""
import pathlib

from multibox.errors import UserError
from multibox.networks.lite import LiteSSD300
from multibox.networks.ssd import SSD
from multibox.weights import efficientnet
from multibox.weights.conventions import FIRST_WEIGHTS
from multibox.weights.fitting import fill, links, slots
from multibox.weights.model_file import load_model
from multibox.weights.sources import read


def start(model: SSD, name: str, label_names: tuple, pretrained: str = 'none',
          reuse: str | pathlib.Path | None = None, resumed: bool = False) -> str:
    """Fill a new network with the weights that the flags of ``train.py`` name.

    Args:
        model: a network of :func:`multibox.networks.make_detector`, changed in place.
        name: the architecture of the network, a key of ``multibox.MODELS``.
        label_names: the class names of the network, in the order of the labels.
        pretrained: ``'none'``, or a source for :func:`multibox.weights.read`, of which every array
            is taken that fits by name and shape. ``'imagenet'`` means the weights of the network's
            own trunk: EfficientNet-Lite0 for lite300, else VGG16.
        reuse: the path of a model.npz of the same architecture. All its weights and default boxes
            are taken, except the head rows of classes that only one of the two networks knows.
        resumed: whether a snapshot replaces the weights afterwards; the default boxes stay.

    Returns:
        A sentence that lists the weights taken and the weights that keep their random start.

    Raises:
        UserError: both sources are given, the weights are missing, or they do not fit.
    """
    if reuse is not None and pretrained != 'none':
        raise UserError('--pretrained and --reuse both give the initial weights; leave one out')
    if reuse is not None:
        said = _reuse(model, name, label_names, reuse)
    elif pretrained != 'none' and not resumed:
        said = _take_what_fits(model, pretrained)
    else:
        said = 'random weights to start from'
    return 'the weights are those of the snapshot' if resumed else said


def _take_what_fits(model, source):
    if source == 'imagenet' and isinstance(model, LiteSSD300):
        arrays = efficientnet.read()
        _take(model, source, arrays)
        return (f'imagenet: the {len(arrays)} arrays of EfficientNet-Lite0 taken; the layers '
                'behind it and the heads begin at random')
    if source in ('imagenet', 'hed') and FIRST_WEIGHTS not in slots(model):  # before a download
        raise UserError(f'--pretrained {source}: holds a VGG16, and {type(model).__name__} has '
                        'none; leave it out')
    return _take(model, source, read(source))


def _take(model, source, arrays):
    result = fill(model, arrays, source)
    if not result.matched:
        raise UserError(f'--pretrained {source}: none of its {len(arrays)} arrays fits the '
                        f'{type(model).__name__}; give weights of that network or of its trunk')
    rest = links(result.missing + [name for name, _, _ in result.misfits])
    return (f'{source}: {len(result.matched)} of {result.n_wanted} parameters taken; not taken: '
            f'{", ".join(sorted(rest)) or "none"}')


def _reuse(model, name, label_names, path):
    other, other_name, other_names = load_model(path)
    if other_name != name:
        raise UserError(f'--reuse {path}: holds a {other_name}, and this is a {name}; give '
                        f'--model {other_name}')
    fill(model, {slot: array for slot, array in slots(other).items()
                 if not slot.startswith('multibox/conf/')}, path)
    model.coder = other.coder
    shared = [label for label in label_names if label in other_names]
    columns = [0] + [1 + label_names.index(label) for label in shared]
    other_columns = [0] + [1 + other_names.index(label) for label in shared]
    for to, source in zip(model.multibox.conf, other.multibox.conf):
        for parameter, given in ((to.W, source.W), (to.b, source.b)):
            # The rows are (boxes per cell, classes), so the rows of a class are not adjacent.
            rows = parameter.array.reshape(-1, 1 + len(label_names), *parameter.shape[1:])
            rows[:, columns] = given.array.reshape(
                -1, 1 + len(other_names), *given.shape[1:])[:, other_columns]
    new = [label for label in label_names if label not in other_names]
    return (f'{path}: all taken but the class heads, and of these the background and '
            f'{", ".join(shared) or "no class"}; at random start {", ".join(new) or "none"}')
