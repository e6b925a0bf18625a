"""The network in a ``snapshot_iter_N`` of ``train.py``."""
import pathlib
import re

from multibox.archives import read_arrays
from multibox.errors import UserError
from multibox.files import read_json

import numpy as np

WEIGHTS = 'updater/model:main/model/'
# A run in 16 bits keeps a float32 copy of every 16-bit weight, under this name.
COPY = re.compile('updater/optimizer:main/model/(.*)/weight')


def is_snapshot(path: str | pathlib.Path) -> bool:
    """Whether the name of a file is that of a snapshot."""
    return bool(re.fullmatch(r'snapshot_iter_\d+', pathlib.Path(path).name))


def read(path: str | pathlib.Path) -> dict[str, np.ndarray]:
    """Read the weights and the statistics of the network in a snapshot.

    Returns:
        {name: float32 array}. Single numbers, such as the counters of batch normalisation, are part
        of it. A run in 16 bits gives its float32 copies.

    Raises:
        UserError: there is no such file, it is damaged, or it is no snapshot of ``train.py``.
    """
    saved = read_arrays(path)
    arrays = {name.removeprefix(WEIGHTS): array for name, array in saved.items()
              if name.startswith(WEIGHTS)}
    if not arrays:
        raise UserError(f'{path}: holds no network; give a snapshot that train.py wrote')
    return arrays | {match[1]: array for name, array in saved.items()
                     if (match := COPY.fullmatch(name))}


def settings_file(path: str | pathlib.Path) -> pathlib.Path:
    """The path of the settings.json beside a snapshot."""
    return pathlib.Path(path).with_name('settings.json')


def read_settings(path: str | pathlib.Path) -> dict:
    """Read the settings.json beside a snapshot; an empty dict if there is none.

    Raises:
        UserError: the file cannot be read, or is damaged.
    """
    try:
        return read_json(settings_file(path), dict)
    except UserError as error:
        raise UserError(f'{error}, and give --model and --classes') from None
