"""Image files: reading them upright, and finding those that cannot be read before training."""
import stat
import warnings
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

from multibox.data.cache import Cache
from multibox.devices import available_cores
from multibox.errors import UserError

import numpy as np
from PIL import Image, UnidentifiedImageError
from tqdm import tqdm

SUFFIXES = '.jpg', '.jpeg', '.png', '.bmp', '.webp', '.tif', '.tiff'
FORMATS = 'JPEG', 'PNG', 'BMP', 'WEBP', 'TIFF', 'GIF'
MAX_PIXELS = 100_000_000
N_THREADS = 4  # each may hold an image of MAX_PIXELS
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


def _open(path):
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise Unreadable('is not a regular file')
        image = Image.open(path, formats=FORMATS)
    except FileNotFoundError:
        raise Unreadable('image file is missing') from None
    except UnidentifiedImageError:
        raise Unreadable('image cannot be read (it is not an image of a known format)') from None
    except Image.DecompressionBombError as error:
        raise Unreadable(f'image is too large ({error})') from None
    except Exception as error:  # Pillow's readers raise errors of many classes
        raise Unreadable(f'image cannot be read ({error})') from None
    if image.width * image.height > MAX_PIXELS:
        raise Unreadable(f'image is too large: {image.width} x {image.height} pixels, more than '
                         f'{MAX_PIXELS // 10 ** 6} million')
    return image


def _orientation(image):
    try:
        number = image.getexif().get(ORIENTATION, 1)
    except Exception:  # damaged EXIF says nothing
        return 1
    return number if number in range(1, 9) else 1


def inspect(path: Path) -> Picture:
    """Decode a whole image file, and tell its size and orientation.

    Raises:
        Unreadable: the file is missing, damaged, truncated, too large or not an image.
    """
    with _open(path) as image:
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
    except Exception as error:
        raise Unreadable(f'image is damaged or truncated ({error})') from None


def inspect_all(paths: Iterable[Path], name: str) -> dict[Path, Picture | str]:
    """Inspect image files in parallel; a cache answers for files that did not change.

    Args:
        paths: the files.
        name: a text that names the set of files, such as their folder.

    Returns:
        Per path a :class:`Picture`, or the reason why it cannot be used.
    """
    def find(path):
        known = cache.get(path)
        if known is None:
            try:
                known = list(inspect(path))
            except Unreadable as error:
                known = str(error)
            cache.set(path, known)
        return path, (known if isinstance(known, str) else Picture(*known))

    cache, paths = Cache(name), list(dict.fromkeys(paths))
    with ThreadPoolExecutor(min(N_THREADS, available_cores())) as pool:  # Pillow frees the GIL
        found = dict(tqdm(pool.map(find, paths), total=len(paths), desc='Checking images',
                          unit='file', delay=2, leave=False, disable=None))
    cache.save()
    return found


def read(path: Path, dtype: Any = np.float32) -> np.ndarray:
    """Read an image as :func:`read_upright` does, for an image that was inspected before.

    Raises:
        UserError: the file is no longer an image that can be decoded.
    """
    try:
        return read_upright(path, dtype)
    except Unreadable as error:
        raise UserError(f'{path}: {error}; replace it, or take it out of the data') from None


def read_upright(path: Path, dtype: Any = np.float32) -> np.ndarray:
    """Read an image upright, as EXIF says.

    Grey values of 16 bits are scaled, so that the range that occurs becomes 0 to 255.

    Args:
        path: the file.
        dtype: float32 or uint8.

    Returns:
        (3, H, W) ``dtype`` array, RGB, 0 to 255.

    Raises:
        Unreadable: the file is not an image that can be decoded.
    """
    with _open(path) as image:
        orientation = 1 if image.format == 'TIFF' else _orientation(image)
        _load(image)
        img = np.asarray((_to_8_bits(image) if image.mode[0] in SIXTEEN_BITS else image)
                         .convert('RGB'))
    return turn(img.transpose(2, 0, 1), orientation).astype(dtype, copy=False)


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
