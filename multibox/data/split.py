"""The division of a data set that comes without one: 80 to 20, the same in every run."""
import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path

from multibox.data.listing import normal
from multibox.files import read_whole, write_json

FILE = 'split.json'
MAX_BYTES = 2 ** 28
TEST_SHARE = 0.2
SEED = 0


def divide(items: Sequence, name_of: Callable) -> tuple[list, list]:
    """Divide items into a training set and a test set, at random, by their names.

    The hash of its name and the seed decides about an item. New items therefore move few others
    from one set to the other.

    Args:
        items: the items.
        name_of: function from an item to its name, which no other item has.

    Returns:
        ``(train, test)``, both in the order of ``items``. One fifth is in the test set, and at
        least one item if there are two.
    """
    def draw(item):
        return hashlib.sha256(f'{SEED}/{normal(name_of(item))}'.encode(
            errors='surrogateescape')).digest()

    n_test = max(round(TEST_SHARE * len(items)), 1) if len(items) > 1 else 0
    test = {name_of(item) for item in sorted(items, key=draw)[:n_test]}
    return ([item for item in items if name_of(item) not in test],
            [item for item in items if name_of(item) in test])


def note(folder: Path, n_train: int, n_test: int) -> str:
    """The remark that tells the user about the division."""
    return (f'{folder}: holds no split; {n_train} images to train and {n_test} to evaluate were '
            f'drawn at random (80 to 20, seed {SEED}; the same images in every run)')


def save(run: Path, folder: Path, names: dict) -> None:
    """Write a division beside the results of a run.

    Args:
        run: the folder of the run.
        folder: the folder of the data.
        names: the names of the images, {'train': [str], 'test': [str]}.

    Raises:
        UserError: the file cannot be written.
    """
    write_json(run / FILE, {'data': folder.resolve(), **names})


def load(run: Path | None, folder: Path) -> dict | None:
    """The division that a run wrote, or None if there is none of this folder."""
    try:
        content = json.loads(read_whole(run / FILE, MAX_BYTES)) if run else {}
        names = {part: set(content[part]) for part in ('train', 'test')}
        return names if content['data'] == str(folder.resolve()) else None
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
