"""The file that tells a score and how it came about."""
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


def write_metrics(path, result, iteration, settings, seconds, device, hardware):
    """Write a score with all that is needed to get it again, as JSON, whole or not at all.

    Args:
        path: the file, ``OUT/metrics.json``.
        result: dict with ``map`` and ``ap`` by class name, from
            :func:`multibox.training.evaluation.score`, or more; nan is written as null.
        iteration: training iterations behind the weights.
        settings: dict of all flags and their values.
        seconds: duration of the run, a float.
        device: name of the device it ran on.
        hardware: from :func:`multibox.devices.hardware`.

    Returns:
        dict, what was written.

    Raises:
        UserError: the file cannot be written.
    """
    metrics = {
        **_plain(result),
        'iteration': iteration,
        'seconds': round(seconds, 1),
        'device': device,
        'hardware': hardware,
        'date': datetime.now(timezone.utc).isoformat(timespec='seconds'),
        'command': shlex.join(['python', Path(sys.argv[0]).name, *sys.argv[1:]]),
        'settings': settings,
        'versions': versions(),
    }
    write_json(path, metrics)
    return metrics


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


def _plain(value):
    """Numbers as JSON knows them: NumPy's become Python's, nan becomes null."""
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items()}
    return value if value is None else None if math.isnan(value) else float(value)
