"""The data of the run that wrote a network, from the files beside the network."""
import json
from pathlib import Path
from typing import NamedTuple

from multibox.data import SPLITS
from multibox.errors import UserError
from multibox.files import MAX_JSON, read_whole


class Origin(NamedTuple):
    """The data that a run was trained on.

    Attributes:
        file: the file that names the data.
        data: the folder of the data; None for the built-in set.
        split: one of :data:`multibox.data.SPLITS`.
    """
    file: Path
    data: Path | None
    split: str

    def __str__(self) -> str:
        split = f' with --split {self.split}' * (self.split != SPLITS[1])
        return f'{self.data}{split}, the data of the run (from {self.file})'

    def check(self, submission: bool = False) -> None:
        """Refuse data that cannot be evaluated on.

        Args:
            submission: whether the images of VOC2012 test are meant, which need no annotations.

        Raises:
            UserError: the folder does not exist, or its split has no annotated test images.
        """
        if self.data is not None and not _is_folder(self.data):
            where = 'absent' if self.data.is_absolute() else f'not in {Path.cwd()}'
            raise UserError(f'{self.file}: the run was trained on {self.data}, which is {where}; '
                            'give --data')
        if self.split == '07++12' and not submission:
            raise UserError(f'{self.file}: the run was trained with --split 07++12, which leaves '
                            'no annotated images to evaluate on; give --submission, or --data')


def find_origin(model: Path) -> Origin | None:
    """Find the data of the run that wrote a network.

    Args:
        model: the file of the network; ``settings.json`` and then ``metrics.json`` are sought
            beside it.

    Returns:
        :class:`Origin`, or None if no file names the data, as beside converted weights.

    Raises:
        UserError: a file is damaged, or its data or split is no such setting.
    """
    for name in ('settings.json', 'metrics.json'):
        file = model.parent / name
        settings = _read(file)
        if name == 'metrics.json' and isinstance(settings, dict):
            settings = settings.get('settings')
        if not isinstance(settings, dict) or 'data' not in settings:  # another program's file
            continue
        data, split = settings['data'], settings.get('split', SPLITS[1])
        if data is not None and (not isinstance(data, str) or '\0' in data):
            raise UserError(f'{file}: data must be the path of a folder, got {data!r}; mend it, or '
                            'give --data')
        if split not in SPLITS:
            raise UserError(f'{file}: split must be one of {", ".join(SPLITS)}, got {split!r}; '
                            'mend it, or give --data')
        return Origin(file, Path(data) if data else None, split)
    return None


def _is_folder(path):
    try:
        return path.is_dir()
    except OSError:  # the system cannot hold such a name
        return False


def _read(file):
    """The content of a JSON file, of any type; None without such a file."""
    if not file.exists():
        return None
    try:
        return json.loads(read_whole(file, MAX_JSON))
    except UserError as error:
        raise UserError(f'{error}; remove it, or give --data') from None
    except (ValueError, RecursionError) as error:
        raise UserError(f'{file}: is damaged ({error}); remove it, or give --data') from None
