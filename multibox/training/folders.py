"""The folder of a run that names none: a new one, or for ``--resume`` that of the newest run."""
import re
from collections.abc import Iterator
from pathlib import Path

from multibox.training.snapshots import find_snapshots

DEFAULT = 'result'


def holds_run(folder: Path) -> bool:
    """Whether a folder holds the settings, a snapshot or the weights of a run."""
    return bool(find_snapshots(folder)) or any(
        (folder / name).exists() for name in ('settings.json', 'model.npz'))


def new_folder() -> tuple[Path, list[str]]:
    """Choose a folder for a new run: ``result``, or ``result-2`` and so on if that holds a run.

    Returns:
        ``(folder, remarks)``: the folder, and a line about it unless it is ``result``.
    """
    folder, n = Path(DEFAULT), 2
    while holds_run(folder):
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
