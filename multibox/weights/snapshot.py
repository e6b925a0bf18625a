"""The network in a ``snapshot_iter_N`` of ``train.py``."""
import json
import pathlib
import re

from multibox.errors import UserError
from multibox.weights.npz import open_npz

import numpy as np

WEIGHTS = 'updater/model:main/model/'
# A run in float16 keeps a float32 copy of every float16 weight, under this name.
COPY = re.compile('updater/optimizer:main/model/(.*)/weight')


def is_snapshot(path: str | pathlib.Path) -> bool:
    """Whether the name of a file is that of a snapshot."""
    return bool(re.fullmatch(r'snapshot_iter_\d+', pathlib.Path(path).name))


def read(path: str | pathlib.Path) -> dict[str, np.ndarray]:
    """Read the weights and the statistics of the network in a snapshot.

    Returns:
        {name: float32 array}. Single numbers, such as the counters of batch normalisation, are part
        of it. A run in float16 gives its float32 copies.

    Raises:
        UserError: there is no such file, it is damaged, or it is no snapshot of ``train.py``.
    """
    saved = open_npz(path)
    arrays = {name.removeprefix(WEIGHTS): array for name, array in saved.items()
              if name.startswith(WEIGHTS)}
    if not arrays:
        raise UserError(f'{path}: holds no network; give a snapshot that train.py wrote')
    return arrays | {match[1]: array for name, array in saved.items()
                     if (match := COPY.fullmatch(name))}


def read_settings(path: str | pathlib.Path) -> dict:
    """Read the settings.json beside a snapshot; an empty dict if there is no readable one."""
    try:
        settings = json.loads(pathlib.Path(path).with_name('settings.json').read_text('utf-8'))
    except (OSError, ValueError):
        return {}
    return settings if isinstance(settings, dict) else {}
