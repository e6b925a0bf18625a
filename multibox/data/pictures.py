"""Image files: decoding them whole, and reading them upright.

Worker processes import this module, so it imports no module that imports Chainer.
"""
import stat
import warnings
from pathlib import Path
from typing import Any, NamedTuple

from multibox.errors import UserError
from multibox.resized import Resized, resize

import numpy as np
from PIL import Image, UnidentifiedImageError

SUFFIXES = '.jpg', '.jpeg', '.png', '.bmp', '.webp', '.tif', '.tiff'
FORMATS = 'JPEG', 'PNG', 'BMP', 'WEBP', 'TIFF', 'GIF'
MAX_PIXELS = 100_000_000  # of an image, unless --max-pixels gives another limit
LONGEST = 300  # characters of a reason that Pillow gives
ORIENTATION = 0x0112  # the tag of EXIF
SIXTEEN_BITS = 'I', 'F'  # first letters of Pillow's modes with more than 8 bits per channel
warnings.filterwarnings('ignore', module=r'PIL\.')  # they name no file; damage is found below


class Picture(NamedTuple):
    """An image file that can be decoded.

    Attributes:
        width, height: size of the stored pixels.
        orientation: EXIF's number from 1 to 8 for the rotation to the upright image.
    """
    width: int
    height: int
    orientation: int

    @property
    def upright(self) -> tuple[int, int]:
        """(width, height) of the upright image."""
        size = self.width, self.height
        return size[::-1] if self.orientation > 4 else size


class Unreadable(Exception):
    """The image cannot be used, for the reason in its text."""


class Refused(Unreadable):
    """The reason is a limit or a crash: another run may be able to use the unchanged file."""


def _open(path, max_pixels):
    if Image.MAX_IMAGE_PIXELS is not None:  # Pillow's own limit is that of the whole process
        Image.MAX_IMAGE_PIXELS = max(Image.MAX_IMAGE_PIXELS, max_pixels)
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise Unreadable('is not a regular file')
        image = Image.open(path, formats=FORMATS)
    except FileNotFoundError:
        raise Unreadable('image file is missing') from None
    except UnidentifiedImageError:
        raise Unreadable('image cannot be read (it is not an image of a known format)') from None
    except Image.DecompressionBombError as error:
        raise Refused(f'image is too large ({error}; --max-pixels sets another limit)') from None
    except (Unreadable, MemoryError):
        raise
    except Exception as error:  # Pillow's readers raise errors of many classes
        raise Unreadable(f'image cannot be read ({_text(error)})') from None
    check_size(*image.size, max_pixels)
    return image


def check_size(width: int, height: int, max_pixels: int) -> None:
    """Refuse an image of more pixels than ``max_pixels``.

    Raises:
        Refused: the message names the size, the limit and the flag.
    """
    if width * height > max_pixels:
        raise Refused(f'image is too large: {width} x {height} pixels, more than {max_pixels:,}; '
                      '--max-pixels sets another limit')


def _text(error):
    return ' '.join(str(error).split())[:LONGEST] or type(error).__name__


def _orientation(image):
    try:
        number = image.getexif().get(ORIENTATION, 1)
    except Exception:  # damaged EXIF says nothing
        return 1
    return number if number in range(1, 9) else 1


def inspect(path: Path, max_pixels: int = MAX_PIXELS) -> Picture:
    """Decode a whole image file, and tell its size and orientation.

    Args:
        path: the file.
        max_pixels: the largest number of pixels that are decoded; the header tells the number.

    Raises:
        Unreadable: the file is missing, damaged, truncated, too large or not an image.
    """
    with _open(path, max_pixels) as image:
        orientation, stored = _orientation(image), image.size
        if image.format == 'JPEG':  # an eighth of the size: the file is read whole, in less time
            image.draft(None, (-(-image.width // 8), -(-image.height // 8)))
        _load(image)
        if image.format == 'TIFF':  # Pillow turns it upright while it loads
            stored = image.size[::-1] if orientation > 4 else image.size
    return Picture(stored[0], stored[1], orientation)


def _load(image):
    try:
        image.load()
    except MemoryError:
        raise
    except Exception as error:
        raise Unreadable(f'image is damaged or truncated ({_text(error)})') from None


def read(path: Path, dtype: Any = np.float32, size: tuple[int, int] = (0, 0)) -> np.ndarray:
    """Read an image as :func:`read_upright` does, for an image that was inspected before.

    Args:
        path: the file.
        dtype: float32 or uint8.
        size: (H, W) that the inspection found. An image of this size is read whatever the limit
            is, and the limit of any other size is :data:`MAX_PIXELS`.

    Raises:
        UserError: the file is no longer an image that can be decoded.
    """
    try:
        return read_upright(path, dtype, max(MAX_PIXELS, int(size[0]) * int(size[1])))
    except Unreadable as error:
        raise UserError(f'{path}: {error}; replace it, or take it out of the data') from None


def read_upright(path: Path, dtype: Any = np.float32,
                 max_pixels: int = MAX_PIXELS) -> np.ndarray:
    """Read an image upright, as EXIF says.

    Grey values of 16 bits are scaled, so that the range that occurs becomes 0 to 255.

    Args:
        path: the file.
        dtype: float32 or uint8.
        max_pixels: the largest number of pixels that are decoded.

    Returns:
        (3, H, W) ``dtype`` array, RGB, 0 to 255.

    Raises:
        Unreadable: the file is not an image that can be decoded.
    """
    with _open(path, max_pixels) as image:
        orientation = 1 if image.format == 'TIFF' else _orientation(image)
        _load(image)
        if image.mode[0] in SIXTEEN_BITS:
            image = _to_8_bits(image)
        img = np.asarray(image if image.mode == 'RGB' else image.convert('RGB'))  # it would copy
    return turn(img.transpose(2, 0, 1), orientation).astype(dtype, copy=False)


def read_resized(path: Path, side: int, max_pixels: int = MAX_PIXELS) -> Resized:
    """Read an image upright, and resize it to a network's input of ``side`` pixels per side.

    Raises:
        Unreadable: the file is not an image that can be decoded.
    """
    return resize(read_upright(path, np.uint8, max_pixels), side)


def _to_8_bits(image):
    grey = np.nan_to_num(np.asarray(image, np.float32))
    low, high = grey.min(), grey.max()
    return Image.fromarray(((grey - low) * (255 / max(high - low, 1e-12))).astype(np.uint8))


# Per orientation: whether x and y are exchanged, then whether x runs backward, and whether y does.
TURNS = {1: (0, 0, 0), 2: (0, 1, 0), 3: (0, 1, 1), 4: (0, 0, 1),
         5: (1, 0, 0), 6: (1, 1, 0), 7: (1, 1, 1), 8: (1, 0, 1)}


def turn(img: np.ndarray, orientation: int) -> np.ndarray:
    """Turn stored pixels, a (3, H, W) array, to the upright image; the result may be a view."""
    swap, flip_x, flip_y = TURNS[orientation]
    img = img.transpose(0, 2, 1) if swap else img
    return img[:, ::-1 if flip_y else 1, ::-1 if flip_x else 1]
