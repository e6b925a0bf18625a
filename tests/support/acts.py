"""Things that a worker process can do with a file, without Chainer."""
import os
import signal
import sys
import time

import numpy as np


def act(path, max_pixels):
    """Act as the stem of a path says; the result is the stem, the process, and the limit."""
    n = path.stem
    if n == 'crash':
        os.kill(os.getpid(), signal.SIGSEGV)
    elif n == 'killed':
        os.kill(os.getpid(), signal.SIGKILL)
    elif n == 'exit':
        os._exit(3)
    elif n == 'hang':
        time.sleep(1000)
    elif n == 'memory':
        np.ones(2 ** 40, np.uint8)
    elif n == 'mistake':
        raise ZeroDivisionError
    elif n == 'chainer':
        return 'chainer' in sys.modules
    return n, os.getpid(), max_pixels
