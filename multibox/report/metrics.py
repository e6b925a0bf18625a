"""metrics.json: a score, and all that is needed to reproduce it."""
import math
import platform
import shlex
import subprocess
import sys
from datetime import datetime, timezone
from pathlib import Path

from multibox.version import __version__

import chainer
import chainercv
import cv2
import numpy as np


def make_metrics(result: dict, *, iteration: int | None, settings: dict, seconds: float,
                 device: str, hardware: str, running: bool = False) -> dict:
    """Join a score with its origin.

    Args:
        result: dict with ``map`` and ``ap`` by class name, from :func:`multibox.evaluation.score`,
            possibly with more entries. Numbers that are not finite become None.
        iteration: number of training iterations; None for an evaluation without training.
        settings: all flags and their values.
        seconds: duration of the run.
        device: name of the device, as given by ``--device``.
        hardware: from :func:`multibox.devices.hardware`.
        running: whether the run goes on, so that the score is not that of its end.

    Returns:
        The content of metrics.json.
    """
    return {
        **_plain(result),
        'iteration': iteration,
        'running': running,
        'seconds': round(seconds, 1),
        'device': device,
        'hardware': hardware,
        'date': datetime.now(timezone.utc).isoformat(timespec='seconds'),
        'command': _command(sys.argv),
        'settings': _plain(settings),
        'versions': versions(),
    }


def versions() -> dict:
    """Versions of the software that the numbers depend on.

    Returns:
        {name: version}; the version of CuPy is None if CuPy is missing. In a git checkout the
        version of multibox is the commit, followed by ``-dirty`` if files were changed.
    """
    cuda = chainer.backends.cuda
    return {
        'python': platform.python_version(),
        'numpy': np.__version__,
        'chainer': chainer.__version__,
        'chainercv': chainercv.__version__,
        'cupy': cuda.cupy.__version__ if cuda.available else None,
        'opencv': cv2.__version__,
        'multibox': _commit(Path(__file__).parents[2]) or __version__,
    }


def _command(argv):
    program = Path(argv[0]).name
    return shlex.join([*(['python'] if program.endswith('.py') else []), program, *argv[1:]])


def _commit(folder):
    if not (folder / '.git').exists():  # git would take the repository of a parent folder
        return None
    command = ['git', '-C', folder, 'describe', '--always', '--dirty', '--abbrev=40', '--exclude=*']
    try:
        answer = subprocess.run(command, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):  # no git, or no commit yet
        return None
    return answer.stdout.strip()


def _plain(value):
    """Convert floats of NumPy to those of JSON; nan and infinity become None."""
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items()}
    if isinstance(value, float | np.floating):
        return float(value) if math.isfinite(value) else None
    return value
