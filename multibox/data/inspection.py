"""The check of all image files before training, in worker processes and with a cache."""
from collections.abc import Iterable
from pathlib import Path

from multibox.data.cache import Cache
from multibox.data.pictures import (
    MAX_PIXELS,
    Picture,
    Refused,
    Unreadable,
    check_size,
    inspect,
)
from multibox.data.pool import map_files

from tqdm import tqdm


def inspect_all(paths: Iterable[Path], name: str,
                max_pixels: int = MAX_PIXELS) -> dict[Path, Picture | str]:
    """Inspect image files in parallel; a cache answers for files that did not change.

    Args:
        paths: the files.
        name: a text that names the set of files, such as their folder.
        max_pixels: the largest number of pixels of an image.

    Returns:
        Per path a :class:`multibox.data.pictures.Picture`, or the reason why it cannot be used.

    Raises:
        UserError: no worker process can be started.
    """
    cache, paths = Cache(name), list(dict.fromkeys(paths))
    found = {path: _known(cache.get(path), max_pixels) for path in paths}
    unknown = [path for path in paths if found[path] is None]
    outcomes = map_files(inspect, ((path,) for path in unknown), max_pixels)
    for path, outcome in zip(unknown, tqdm(outcomes, total=len(unknown), desc='Checking images',
                                           unit='file', delay=2, leave=False, disable=None)):
        found[path] = str(outcome) if isinstance(outcome, Unreadable) else outcome
        if not isinstance(outcome, Refused):
            cache.set(path, found[path])
    cache.save()
    return found


def _known(fact, max_pixels):
    """A fact of the cache as a result of :func:`inspect_all`, or None."""
    if not isinstance(fact, list):
        return fact
    picture = Picture(*fact)
    try:
        check_size(picture.width, picture.height, max_pixels)
    except Refused as error:
        return str(error)
    return picture
