"""Photographs that are not part of an annotated data set."""
from collections.abc import Iterable
from pathlib import Path

from multibox.errors import UserError

import cv2
import numpy as np

SUFFIXES = '.jpg', '.jpeg', '.png', '.bmp', '.webp', '.tif', '.tiff'


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
                            if file.is_file() and file.suffix.lower() in SUFFIXES)
        else:
            found.append(path)
    if not found:
        raise UserError(f'{", ".join(map(str, paths))}: no image with a suffix of '
                        + ', '.join(SUFFIXES))
    return found


def read(path: Path) -> np.ndarray | None:
    """Read an image: (3, H, W) float32 RGB, 0 to 255, rotated by EXIF; None if it is unreadable."""
    try:
        img = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_COLOR)
    except (OSError, cv2.error):  # OpenCV raises for an empty file, and for too many pixels
        return None
    if img is None:
        return None
    return cv2.cvtColor(img, cv2.COLOR_BGR2RGB).transpose(2, 0, 1).astype(np.float32)
