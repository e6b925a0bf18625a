"""The folder of a run: the names in it, a new one, or for ``--resume`` that of the newest run."""
import re
from collections.abc import Iterator
from pathlib import Path

from multibox.errors import UserError
from multibox.outputs import check_free, written_before
from multibox.training.snapshots import NAME, find_snapshots

DEFAULT = 'result'
SETTINGS = 'model', 'loss', 'iteration', 'annotations'  # entries of a run's settings.json
# All files of a run but its snapshots.
FILES = ('settings.json', 'plans.json', 'log', 'best.npz', 'model.npz', 'split.json',
         'metrics.json', 'report.html', 'loss.png', 'map.png', 'precision_recall.png',
         'detections.png', 'training.png', 'data-set/sample.png', 'data-set/statistics.png',
         'data-set/positions.png')


def has_begun(folder: Path) -> bool:
    """Whether a folder holds the settings or a snapshot of a run."""
    return (folder / 'settings.json').exists() or bool(find_snapshots(folder))


def check_new(folder: Path) -> None:
    """Refuse a folder for a new run that holds a run, or a file that the run would overwrite.

    A run that was killed before its first snapshot and its first weights may be begun anew.

    Raises:
        UserError: the message names the folder, and the files unless it holds a run.
    """
    if find_snapshots(folder) or (folder / 'model.npz').exists():
        raise UserError(f'{folder}: holds a run already; continue it with --resume, or give '
                        'another --out')
    odd = [path.name for path in folder.glob('snapshot_iter_*') if NAME.fullmatch(path.name)]
    is_unfinished = written_before(folder / 'settings.json', SETTINGS)
    check_free(folder, ['best.npz'] if is_unfinished else [*FILES, *sorted(odd)])


def is_free(folder: Path) -> bool:
    """Whether :func:`check_new` accepts a folder."""
    try:
        check_new(folder)
    except UserError:
        return False
    return True


def new_folder() -> tuple[Path, list[str]]:
    """Choose a folder for a new run: ``result``, or ``result-2`` and so on if that is not free.

    Returns:
        ``(folder, remarks)``: the folder, and a line about it unless it is ``result``.
    """
    folder, n = Path(DEFAULT), 2
    while not is_free(folder):
        folder, n = Path(f'{DEFAULT}-{n}'), n + 1
    return folder, [f'writing to {folder}, because {DEFAULT} holds a run'] * (n > 2)


def newest_run() -> tuple[Path, list[str]]:
    """Find the run to resume: the one with the latest snapshot among ``result``, ``result-2``, ...

    Returns:
        ``(folder, remarks)``: the folder, and a line that names it. Without any snapshot these are
        ``result`` and no line.
    """
    times = {folder: max(path.stat().st_mtime_ns for path in snapshots)
             for folder in _run_folders() if (snapshots := find_snapshots(folder))}
    if not times:
        return Path(DEFAULT), []
    folder = max(times, key=lambda folder: times[folder])
    return folder, [f'resuming the run in {folder}, the newest one']


def _run_folders() -> Iterator[Path]:
    return (path for path in sorted(Path().glob(f'{DEFAULT}*'))
            if re.fullmatch(rf'{DEFAULT}(-\d+)?', path.name))
