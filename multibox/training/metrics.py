"""The score of a detector, and the file that tells how it came about."""
import itertools
import math
import platform
import shlex
import subprocess
import sys
from datetime import datetime, timezone
from pathlib import Path

from multibox.files import write_json

import chainer
import chainercv
import cv2
import numpy as np
from chainercv.evaluations import eval_detection_voc
from chainercv.utils import apply_to_iterator


def evaluate(model, dataset, label_names, batchsize=32, use_07_metric=True, comm=None):
    """Average precision of each class at IoU 0.5 by the rules of PASCAL VOC.

    Difficult objects count neither as found nor as missed. Images are loaded batch by batch and
    not kept.

    Args:
        model: has ``predict(imgs) -> (bboxes, labels, scores)``, lists of (R, 4) float32,
            (R,) int32 and (R,) float32 arrays; see README "Data conventions".
        dataset: ``dataset[i]`` is (img, bbox, label, difficult): (3, H, W) float32, (R, 4)
            float32, (R,) int32 and (R,) bool.
        label_names: the foreground classes, in the order of their numbers.
        batchsize: images given to ``predict`` at once.
        use_07_metric: average the precision at 11 recalls, as VOC 2007 and the paper do; if
            False, take the area under the curve, as VOC 2010 and later do.
        comm: a ChainerMN communicator whose processes share the images, or None.

    Returns:
        dict with ``ap``: {class name: float, or None if it has no object that counts}, and
        ``map``: the mean of the floats, or None if there is none. The same on every process.
    """
    if comm is None:
        return _score(_predict(model, dataset, batchsize), label_names, use_07_metric)
    start, stop = (len(dataset) * i // comm.size for i in (comm.rank, comm.rank + 1))
    own = chainer.datasets.SubDataset(dataset, start, stop)
    shares = comm.gather_obj(_predict(model, own, batchsize))
    result = None
    if comm.rank == 0:
        images = [list(itertools.chain(*lists)) for lists in zip(*shares)]
        result = _score(images, label_names, use_07_metric)
    return comm.bcast_obj(result)


def _predict(model, dataset, batchsize):
    """Lists of an entry an image: predicted bbox, label, score; true bbox, label, difficult."""
    if not len(dataset):  # more processes than images
        return [[]] * 6
    iterator = chainer.iterators.SerialIterator(dataset, batchsize, repeat=False, shuffle=False)
    in_values, predicted, truth = apply_to_iterator(model.predict, iterator)
    del in_values  # or ChainerCV would keep every image
    return [*map(list, predicted), *map(list, truth)]


def _score(images, label_names, use_07_metric):
    *predicted, bboxes, labels, difficults = images
    ap = dict.fromkeys(label_names)
    if any((~np.asarray(difficult, bool)).any() for difficult in difficults):
        with np.errstate(invalid='ignore'):  # 0/0 where the best detection is a difficult object
            result = eval_detection_voc(*predicted, bboxes, labels, difficults,
                                        use_07_metric=use_07_metric)
        ap.update(zip(label_names, map(_none_if_nan, result['ap'])))
    counted = [value for value in ap.values() if value is not None]
    return {'map': float(np.mean(counted)) if counted else None, 'ap': ap}


def write_metrics(path, result, iteration, settings, seconds, device):
    """Write a score with all that is needed to get it again, as JSON, whole or not at all.

    Args:
        path: the file, ``OUT/metrics.json``.
        result: dict with ``map`` and ``ap`` by class name, from :func:`evaluate`; nan is written
            as null.
        iteration: training iterations behind the weights.
        settings: dict of all flags and their values.
        seconds: duration of the run, a float.
        device: name of the device it ran on.

    Raises:
        UserError: the file cannot be written.
    """
    write_json(path, {
        'map': _none_if_nan(result['map']),
        'ap': {name: _none_if_nan(value) for name, value in result['ap'].items()},
        'iteration': iteration,
        'seconds': round(seconds, 1),
        'device': device,
        'date': datetime.now(timezone.utc).isoformat(timespec='seconds'),
        'command': shlex.join(['python', Path(sys.argv[0]).name, *sys.argv[1:]]),
        'settings': settings,
        'versions': versions(),
    })


def versions():
    """Versions of what the numbers depend on.

    Returns:
        dict of strings; None for CuPy where there is none, and for multibox outside a git checkout.
        multibox is a commit, with ``-dirty`` behind it if the checkout was changed.
    """
    cuda = chainer.backends.cuda
    return {
        'python': platform.python_version(),
        'numpy': np.__version__,
        'chainer': chainer.__version__,
        'chainercv': chainercv.__version__,
        'cupy': cuda.cupy.__version__ if cuda.available else None,
        'opencv': cv2.__version__,
        'multibox': _commit(Path(__file__).parents[2]),
    }


def _commit(folder):
    if not (folder / '.git').exists():  # git would answer for a repository further up
        return None
    command = ['git', '-C', folder, 'describe', '--always', '--dirty', '--abbrev=40', '--exclude=*']
    try:
        answer = subprocess.run(command, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):  # no git, or no commit yet
        return None
    return answer.stdout.strip()


def _none_if_nan(value):
    return None if value is None or math.isnan(value) else float(value)
