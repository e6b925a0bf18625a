"""Photographs that are not part of an annotated data set, and the flag for their size."""
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from multibox.data.listing import is_image
from multibox.data.pictures import MAX_PIXELS, SUFFIXES
from multibox.errors import UserError


def find_images(paths: Iterable[Path]) -> list[Path]:
    """List the given files, and the images in the given folders, sorted per folder.

    Raises:
        UserError: a path does not exist, or no path is or holds an image.
    """
    found = []
    for path in paths:
        if not path.exists():
            raise UserError(f'{path}: no such file or folder; give an image, or a folder of images')
        if path.is_dir():
            found += sorted(file for file in path.iterdir()
                            if file.is_file() and is_image(file))
        else:
            found.append(path)
    if not found:
        raise UserError(f'{", ".join(map(str, paths))}: no image with a suffix of '
                        + ', '.join(SUFFIXES))
    return found


def add_max_pixels(parser: Any) -> None:
    """Add ``--max-pixels`` to a parser, or to a group of its arguments."""
    parser.add_argument('--max-pixels', type=int, default=MAX_PIXELS, metavar='N',
                        help='leave out images of more pixels; decoding takes up to 32 bytes per '
                        'pixel')
