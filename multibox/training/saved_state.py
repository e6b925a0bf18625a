"""The content of a snapshot: read within bounds, and checked before any of it is loaded."""
import json
import math
from pathlib import Path
from typing import Any

from multibox.archives import read_arrays
from multibox.errors import UserError
from multibox.weights.values import LIMIT, check_values

import numpy as np
from chainer.serializers import DictionarySerializer

MODEL = 'updater/model:'  # the beginning of the names of the parameters and the statistics
ITERATION, POSITION = 'updater/iteration', 'updater/iterator:main/position'
COUNTERS = 't', 'epoch', 'iteration', 'previous_iteration', 'n_since'  # at most those updates
FINITE = 'updater/', 'extension_triggers/', '_snapshot_elapsed_time'
LOG, BEST = 'extensions/LogReport/_log', 'extensions/Best/'


def read_state(path: Path) -> dict[str, np.ndarray]:
    """Read a snapshot, and refuse values that no run can have written.

    Args:
        path: the file.

    Returns:
        {name: array}.

    Raises:
        UserError: the file is damaged, a weight is refused by
            :func:`multibox.weights.values.check_values`, the state of the optimizer is not finite,
            a counter is no number of updates, or the log is no log.
    """
    saved = read_arrays(path)
    check_values(path, {name: array for name, array in saved.items()
                        if name.startswith(MODEL) and array.ndim})
    last = _count(path, saved, ITERATION, math.inf) if ITERATION in saved else math.inf
    for name, array in saved.items():
        is_count = array.dtype.kind in 'iu' and not array.ndim
        if is_count and name.startswith(('updater/', 'extension_triggers/', BEST)):
            _count(path, saved, name, last if name.rpartition('/')[2] in COUNTERS else math.inf)
        elif array.dtype.kind == 'f' and name.startswith(FINITE):
            _check_floats(path, name, array, lowest=0 if _is_square(name, saved) else -LIMIT ** 2)
    _check_log(path, saved.get(LOG))
    _check_best(path, saved)
    return saved


def check_fits(path: Path, saved: dict[str, np.ndarray], updater: Any) -> None:
    """Refuse a snapshot whose weights, optimizer or position are those of another run.

    Args:
        path: the file, for messages.
        saved: from :func:`read_state`.
        updater: the updater of the run that is resumed.

    Raises:
        UserError: names, shapes or types differ, or the position in the data does not belong to the
            iteration.
    """
    own: dict[str, np.ndarray] = {}
    updater.serialize(DictionarySerializer(own)['updater'])
    # A new optimizer has no momentum yet, so names that only the file has count for weights alone.
    names = [*own, *(name for name in saved if name.startswith(MODEL))]
    differences = []
    for name in dict.fromkeys(names):
        if name in saved and name in own and own[name].dtype == object:
            continue  # None: this weight gets its shape in the first forward pass
        then, now = _form(saved.get(name)), _form(own.get(name))
        if then != now:
            i = int(then[0] == now[0])  # the first difference: of the shapes, or else of the types
            differences.append(
                f'{name.removeprefix("updater/")} is {then[i]} there and {now[i]} here')
    if differences:
        raise UserError(f'{path}: is of another network or data set: {"; ".join(differences[:3])} '
                        f'({len(differences)} in all); give the --model and --data of that run')
    _check_optimizer(path, saved)
    iterator = updater.get_iterator('main')
    if POSITION in saved and hasattr(iterator, 'batchsize'):
        iteration, position = int(saved[ITERATION]), int(saved[POSITION])
        if position != iteration * iterator.batchsize:
            raise UserError(f'{path}: after {iteration} iterations of {iterator.batchsize} images '
                            f'its position is {position}; give the --batchsize of that run')


def _is_square(name, saved):
    """Whether an array is Adam's mean of squared gradients; momentum SGD has v without m."""
    return name.endswith('/v') and f'{name[:-1]}m' in saved


def _check_floats(path, name, array, lowest):
    for value in map(float, (array.min(initial=0), array.max(initial=0))):  # nan stays nan
        if not math.isfinite(value):
            raise UserError(f'{path}: {name} holds nan or infinity')
        if not lowest <= value <= LIMIT ** 2:
            raise UserError(f'{path}: {name} holds {value:.3g}, which no training gives')


def _form(array):
    """The shape and the kind of an array; integers with and without a sign are alike."""
    if array is None:
        return 'absent', ''
    return array.shape, {'f': 'a float', 'i': 'an integer', 'u': 'an integer'}.get(
        array.dtype.kind, str(array.dtype))


def _check_optimizer(path, saved):
    """Compare the shapes of the state of each parameter with that of the parameter."""
    for name, array in saved.items():
        parameter = name.replace('/optimizer:', '/model:').rpartition('/')[0]
        if name.startswith('updater/optimizer:') and parameter in saved and (
                not name.endswith('/t')) and (
                array.shape != saved[parameter].shape or array.dtype.kind != 'f'):
            raise UserError(f'{path}: {name} is {array.shape} of {array.dtype}, and its weights '
                            f'are {saved[parameter].shape}; the file is damaged')


def _count(path, saved, name, highest):
    array = saved[name]
    if array.ndim or array.dtype.kind not in 'iu' or not 0 <= int(array) <= min(highest, 2 ** 53):
        raise UserError(f'{path}: {name} is {array.tolist() if array.size < 9 else array.shape}, '
                        'and must be a number of updates, up to those of the run')
    return int(array)


def _check_log(path, array):
    if array is None:
        return
    try:
        entries = json.loads(array.item())
        proper = isinstance(entries, list) and all(
            isinstance(entry, dict) and type(entry.get('iteration')) is int
            and all(isinstance(value, int | float | None) for value in entry.values())
            for entry in entries)
    except (TypeError, ValueError, RecursionError):
        proper = False
    if not proper:
        raise UserError(f'{path}: {LOG} is no log of a run')


def _check_best(path, saved):
    content, score = saved.get(f'{BEST}file'), saved.get(f'{BEST}map')
    if content is not None and (content.ndim != 1 or content.dtype != np.uint8):
        raise UserError(f'{path}: {BEST}file is no content of a file')
    if score is not None and not (score.ndim == 0 and score.dtype.kind == 'f'
                                  and (score == -np.inf or 0 <= score < 1.001)):  # 1 is rounded
        raise UserError(f'{path}: {BEST}map is no mAP')
