"""The program of a process that decodes images: it calls functions that it receives, until the end.

:class:`multibox.data.pool.Pool` starts this file by its path.
"""
import contextlib
import os
import pickle
import resource
import select
import signal
import sys
import threading
import types
from multiprocessing.connection import Connection

RESERVE = 2 ** 30  # bytes for Python and its libraries
BYTES_PER_PIXEL = 32  # the image in Pillow, as an array and in float32, and a decoder's own memory


def serve(connection: Connection) -> None:
    """Receive ``(function, arguments, max_pixels)``, and answer ``(whether it returned, value)``.

    The value is the result or the exception. The first message is ``(path, packages, seconds)``:
    that of modules, the folders of packages by name, and the time after which a call ends the
    process, should the main process have died.
    """
    path, packages, seconds = connection.recv()
    sys.path[:] = path
    for name, folder in packages.items():  # their own code would import Chainer, which takes long
        package = sys.modules[name] = types.ModuleType(name)
        package.__path__ = [folder]
    from PIL import Image
    Image.MAX_IMAGE_PIXELS = None  # the functions compare the header with max_pixels
    connection.send('ready')
    with open(os.devnull, 'w') as nowhere:
        os.dup2(nowhere.fileno(), 2)  # libraries print their dying words
    while True:
        signal.alarm(0)
        task = connection.recv_bytes()
        signal.alarm(seconds)
        connection.send(_call(*pickle.loads(task)))


def _call(function, arguments, max_pixels):
    _limit(resource.RLIMIT_DATA, RESERVE + BYTES_PER_PIXEL * max_pixels)
    try:
        return True, function(*arguments, max_pixels=max_pixels)
    except Exception as error:
        return False, error


def _limit(kind, n):
    with contextlib.suppress(OSError, ValueError):  # not every system has every limit
        hard = resource.getrlimit(kind)[1]
        resource.setrlimit(kind, (n if hard == resource.RLIM_INFINITY else min(n, hard), hard))


def _exit_with_parent(connection):
    poll = select.poll()
    poll.register(connection.fileno(), 0)
    poll.poll()  # until the other end is closed
    os._exit(0)


def main() -> None:
    """Serve the connection whose number is the argument, until its other end is closed."""
    connection = Connection(int(sys.argv[1]))
    threading.Thread(target=_exit_with_parent, args=(connection,), daemon=True).start()
    _limit(resource.RLIMIT_CORE, 0)
    with contextlib.suppress(EOFError, OSError):
        serve(connection)


if __name__ == '__main__':
    del sys.path[0]  # this folder
    main()
