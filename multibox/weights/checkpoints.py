"""The choice of the weights among all that a training program saves in a checkpoint."""
from typing import Any

from multibox.errors import UserError
from multibox.weights.pickles import Opaque, Tensor

# The keys of weights in checkpoints, the preferred one first.
KEYS = ('state_dict', 'model_state_dict', 'model', 'net', 'network', 'weights', 'params', 'module',
        'ema', 'model_ema', 'ema_state_dict', 'state_dict_ema')
PREFIXES = 'module.', 'model.'  # of DataParallel, and of a model that is a part of another
SAVE = 'torch.save({}.state_dict(), FILE)'


def choose(path: Any, content: Any) -> dict[str, Tensor]:
    """Choose the one dict of tensors of a checkpoint, and print its key.

    Args:
        path: the name of the file, for messages.
        content: a dict of tensors by name, or a dict with such dicts among its values.

    Returns:
        {name: tensor}.

    Raises:
        UserError: there is no dict of tensors, or there are several without a well-known key.
    """
    _refuse_module(path, content, 'model')
    if _is_weights(content):
        return content
    values = content if isinstance(content, dict) else {}
    found = {key: value for key, value in values.items() if _is_weights(value)}
    keys = [key for key in KEYS if key in found] or list(found)
    if len(keys) == 1 or (keys and keys[0] in KEYS):
        print(f'{path}: takes the {len(found[keys[0]])} tensors of {shown(keys[0])}')
        return found[keys[0]]
    inner = [key for key in KEYS if not found and isinstance(values.get(key), dict)]
    if len(inner) == 1 and any(map(_is_weights, values[inner[0]].values())):
        return choose(path, values[inner[0]])
    if keys:
        raise UserError(f'{path}: holds several dicts of tensors, '
                        f'{", ".join(map(shown, keys[:9]))}; save the one of the network in a file '
                        'of its own')
    for key, value in values.items():
        _refuse_module(path, value, f'checkpoint[{shown(key)}]')
    for weights in (values, *(values[key] for key in KEYS if isinstance(values.get(key), dict))):
        for name, value in weights.items():
            if isinstance(value, Opaque):
                raise UserError(f'{path}: not a file of weights alone, so it was not loaded '
                                f'({shown(name)} is of the type {shown(value.name)}); write it '
                                f'with {SAVE.format("model")}')
    raise UserError(f'{path}: not a state_dict, a dict of tensors by name, as ssd.pytorch saves '
                    f'it; write it with {SAVE.format("model")}')


def without_prefix(path: Any, arrays: dict) -> dict:
    """Drop the prefixes :data:`PREFIXES` that all names have.

    Raises:
        UserError: a name holds characters that cannot be printed.
    """
    if not all(name.isprintable() for name in arrays):
        raise UserError(f'{path}: names of its tensors hold control characters; it is damaged')
    for prefix in 2 * PREFIXES:
        if arrays and all(name.startswith(prefix) for name in arrays):
            arrays = {name.removeprefix(prefix): array for name, array in arrays.items()}
    return arrays


def shown(name: str) -> str:
    """A name of a file's content for a message: in quotes, short, and printable."""
    text = ''.join(letter if letter.isprintable() else '?' for letter in name[:60])
    return f"'{text}'"


def _is_weights(value):
    return isinstance(value, dict) and bool(value) and all(
        isinstance(tensor, Tensor) for tensor in value.values())


def _refuse_module(path, value, name):
    if isinstance(value, Opaque) and value.is_module:
        raise UserError(f'{path}: holds a whole model, whose class is code, so it was not loaded; '
                        f'where its code is at hand, write {SAVE.format(name)}')
