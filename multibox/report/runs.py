"""A run or an evaluation, read from its folder: scores, settings, log."""
import json
import math
from pathlib import Path
from typing import Any, NamedTuple

from multibox.errors import UserError
from multibox.files import read_json
from multibox.flags import check_path
from multibox.report.log import MEAN_AP, is_number, read_log, series

# The entries that the comparison computes with, and the kind of each; a dict holds further entries.
METRICS = {'map': 'number', 'ap': 'numbers', 'iteration': 'whole number', 'seconds': 'number',
           'device': 'text', 'date': 'text', 'settings': {}, 'best': {'map': 'number'},
           'coco': {'map': 'number'}, 'threshold': 'number',
           'test': {'images': 'whole number', 'objects': 'whole number'}}
SETTINGS = {'iteration': 'whole number', 'batchsize': 'whole number', 'device': 'text'}


class Run(NamedTuple):
    """The files of a run or of an evaluation.

    Attributes:
        name: the name of the folder; :func:`read_runs` makes it unique.
        metrics: the content of metrics.json; empty before the first score.
        settings: the settings of the run.
        log: from :func:`multibox.report.log.read_log`; empty for an evaluation.
    """
    name: str
    metrics: dict
    settings: dict
    log: list

    @property
    def ended(self) -> bool:
        """Whether the scores are the final ones; those of a stopped run are not."""
        return bool(self.metrics) and not self.metrics.get('running')

    @property
    def iteration(self) -> int | None:
        """The number of iterations so far; None for an evaluation."""
        done = self.metrics.get('iteration')
        return done if self.ended or not self.log else self.log[-1]['iteration']

    @property
    def progress(self) -> int | str | None:
        """The number of iterations, with their total unless the run has ended."""
        total = self.settings.get('iteration')
        if self.ended or self.iteration is None or total is None:
            return self.iteration
        return f'{self.iteration:,} of {total:,}'

    @property
    def seconds(self) -> float | None:
        """The duration so far; None if it is unknown."""
        known = self.metrics.get('seconds')
        last = (self.log or [{}])[-1].get('elapsed_time')
        return known if self.ended or not _is('number', last) else round(last, 1)

    @property
    def mean_ap(self) -> float | None:
        """The last mAP, by the 11-point rule; None if it is unknown."""
        if self.metrics:
            return self.metrics['map']
        values = series(self.log, MEAN_AP)[1].tolist()
        return values[-1] if values else None


def read_run(folder: Path) -> Run:
    """Read the folder that ``train.py`` or ``evaluate.py`` wrote.

    Args:
        folder: the folder; a run that has not ended may lack metrics.json.

    Returns:
        :class:`Run`.

    Raises:
        UserError: there is no such folder, it holds no run, or a file in it is damaged.
    """
    check_path(folder, 'give the folder of a run', folder=True)
    metrics = read_json(folder / 'metrics.json', dict)
    log = read_log(folder)
    if not metrics and not log:
        raise UserError(f'{folder}: holds no metrics.json and no log; give the folder of a run of '
                        'train.py or evaluate.py that has begun')
    if metrics and not (isinstance(metrics.get('ap'), dict) and 'map' in metrics):
        raise UserError(f'{folder / "metrics.json"}: holds no map and ap; give the folder of a run '
                        'of train.py or evaluate.py')
    _check(folder / 'metrics.json', metrics, METRICS)
    own = read_json(folder / 'settings.json', dict)
    settings = {**(metrics.get('settings') or {}), **own}
    _check(folder / ('settings.json' if own else 'metrics.json'), settings, SETTINGS)
    return Run(folder.resolve().name, metrics, settings, log)


def _check(path, content, kinds):
    """Refuse an entry of another kind; null and absent entries are unknown."""
    for name, kind in kinds.items():
        value = content.get(name)
        if value is None:
            continue
        if kind == 'numbers' and isinstance(value, dict):
            _check(path, value, dict.fromkeys(value, 'number'))
        elif isinstance(kind, dict) and isinstance(value, dict):
            _check(path, value, kind)
        elif not isinstance(kind, str) or not _is(kind, value):
            wanted = kind if isinstance(kind, str) else 'object'
            raise UserError(f'{path}: {name[:99]!r} holds {json.dumps(value)[:40]}, which is no '
                            f'{wanted}; give the folder of a run of train.py or evaluate.py')


def _is(kind: str, value: Any) -> bool:
    if kind == 'text':
        return isinstance(value, str)
    return (is_number(value) and not math.isnan(value)
            and (kind == 'number' or isinstance(value, int)))


def read_runs(folders: list[Path]) -> list[Run]:
    """Read several runs; if two folders have the same name, both are called by their paths.

    Raises:
        UserError: there is only one folder, a folder is given twice, or one cannot be read; the
            message has one line per fault.
    """
    faults, runs, seen = [], [], set()
    for folder in folders:
        try:
            if folder.resolve() in seen:
                raise UserError(f'{folder}: is given twice; give each run once')
            seen.add(folder.resolve())
            runs.append(read_run(folder))
        except UserError as error:
            faults.append(str(error))
    if len(folders) < 2:
        faults.append(f'{folders[0]}: is the only run; give at least two to compare')
    if faults:
        raise UserError('\n'.join(faults))
    names = [run.name for run in runs]
    return [run._replace(name=str(folder)) if names.count(run.name) > 1 else run
            for run, folder in zip(runs, folders)]
