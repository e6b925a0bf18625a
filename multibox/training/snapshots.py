"""Snapshots of a run, resuming from the newest good one, and the settings that must not change."""
import contextlib
import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from multibox.errors import UserError
from multibox.files import read_json, save_npz, write_json
from multibox.processes import ONE, OneProcess
from multibox.training.saved_state import check_fits, read_state

import chainer
from chainer.serializers import NpzDeserializer

NAME = re.compile(r'snapshot_iter_(0|[1-9][0-9]*)')  # the names that this module writes


def is_finite(link: chainer.Link) -> bool:
    """Whether all parameters of a link are finite."""
    return all(bool(link.xp.isfinite(parameter.array).all())
               for parameter in link.params() if parameter.array is not None)


def snapshot(link: chainer.Link) -> Any:
    """Make the extension that writes ``OUT/snapshot_iter_N`` and keeps the snapshot before it.

    Snapshots of earlier iterations are removed, whatever their file times say. Those of later
    iterations stay, and so does everything of another name. A snapshot that cannot be removed
    stays, too.

    Args:
        link: the link that is trained; nothing is written once a parameter is not finite.

    Returns:
        An extension of Chainer's trainer. It raises UserError if the snapshot cannot be written. At
        the end of a run it keeps the message in its attribute ``failed`` instead.
    """
    before = 0  # the iteration of the last good snapshot

    def initialize(trainer):  # a snapshot from which the run was resumed is a good one
        nonlocal before
        before = trainer.updater.iteration

    @chainer.training.make_extension(initializer=initialize, priority=-100)  # after all others
    def write(trainer):
        nonlocal before
        if not is_finite(link):
            return
        now = trainer.updater.iteration
        path = Path(trainer.out) / f'snapshot_iter_{now}'
        if path.exists() and not path.is_file():
            raise UserError(f'{path}: is no regular file, so the snapshot was not written; move it '
                            'away, and go on with --resume')
        try:
            save_npz(path, trainer)
        except UserError as error:
            is_last = getattr(trainer.stop_trigger, 'is_last', None)
            if is_last is None or not is_last(now):
                raise
            write.failed = str(error)  # the last weights are written first, see Results.finish
            return
        for old in find_snapshots(trainer.out) if now != before else ():
            if _iteration(old) < now and _iteration(old) != before and not old.is_symlink():
                with contextlib.suppress(OSError):
                    old.unlink()
        before = now

    write.failed = None
    return write


def resume(trainer: Any, out: Path, processes: OneProcess = ONE) -> int:
    """Load the newest good snapshot into a trainer that has not run yet.

    A snapshot that cannot be read completely, or that holds values of no run, is named on stdout,
    and the snapshot before it is taken. All arrays are read and their checksums compared before any
    array is loaded. Nothing is unpickled.

    Args:
        trainer: the trainer, built as for the run that is resumed.
        out: folder with ``snapshot_iter_N`` files.
        processes: the processes of the run; the first process reads for all.

    Returns:
        The iteration from which the run goes on.

    Raises:
        UserError: there is no good snapshot, or it belongs to another network or data set.
    """
    path, saved = processes.broadcast(_newest_good(out) if processes.is_first else None)
    check_fits(path, saved, trainer.updater)
    try:
        NpzDeserializer(saved).load(trainer)
    except KeyError as error:
        raise UserError(f'{path}: holds no {error}; resume with the version of this program that '
                        'wrote it') from error
    except UserError:
        raise
    except Exception as error:  # Chainer raises errors of many types at a state of another form
        raise UserError(f'{path}: cannot be loaded ({error}); remove it to resume from the '
                        'snapshot before it') from error
    return trainer.updater.iteration


def _newest_good(out):
    faults = []
    for path in find_snapshots(out):
        try:
            return path, read_state(path)
        except UserError as error:
            faults.append(str(error).removeprefix(f'{path}: '))
            print(f'{path}: damaged, trying the snapshot before it ({faults[-1]})', flush=True)
    newest = f' ({find_snapshots(out)[0].name}: {faults[0]})' if faults else ''
    raise UserError(f'{out}: no good snapshot_iter_* in this folder{newest}; point --out at the '
                    'run to resume, or start anew without --resume')


def find_snapshots(out: str | Path) -> list[Path]:
    """List the snapshots in a folder, the last iteration first."""
    return sorted((path for path in Path(out).glob('snapshot_iter_*')
                   if NAME.fullmatch(path.name) and path.is_file()),
                  key=_iteration, reverse=True)


def _iteration(path):
    return int(path.name.rpartition('_')[2])


def save_settings(out: str | Path, settings: dict) -> None:
    """Write the settings of a run to ``out/settings.json``; see :func:`check_settings`."""
    write_json(Path(out) / 'settings.json', settings)


def read_settings(out: str | Path) -> dict:
    """Read the settings that :func:`save_settings` wrote; an empty dict without such a file.

    Raises:
        UserError: the file cannot be read, or is damaged.
    """
    return read_json(Path(out) / 'settings.json', dict)


def check_settings(out: str | Path, settings: dict, fixed: Iterable[str]) -> None:
    """Refuse to resume a run with a changed setting that has to stay the same.

    Args:
        out: folder of the run; without a ``settings.json`` nothing is checked.
        settings: the settings of the resuming run, as for :func:`save_settings`.
        fixed: names of the settings that have to be the same.

    Raises:
        UserError: a fixed setting differs.
    """
    before = read_settings(out)
    if not before:
        return
    now = json.loads(json.dumps(settings, default=str))  # JSON turns tuples into lists
    for name in fixed:
        if name in before and before[name] != now.get(name):
            if name == 'annotations':  # a checksum tells nobody anything
                raise UserError(f'{out}: the run was trained on {before.get("data")}, whose images '
                                f'or boxes differ from those of {now.get("data")} today; give the '
                                '--data of the run, or another --out')
            raise UserError(f'{out}: the run to resume had {name} {before.get(name)}, not '
                            f'{now.get(name)}; give the same value, or another --out')
