"""Pictures in a grid, and plots."""
import contextlib
import warnings
from collections.abc import Iterator
from pathlib import Path

from multibox.files import open_whole

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from PIL import Image


def grid(tiles: list[Image.Image], n_column: int, cell: tuple[int, int]) -> Image.Image:
    """Place pictures row by row into one white picture.

    Args:
        tiles: the pictures, at least one; each is placed in the upper left corner of its cell.
        n_column: pictures per row.
        cell: (width, height) of a cell in pixels.

    Returns:
        The picture, in RGB.
    """
    width, height = cell
    picture = Image.new('RGB', (n_column * width, -(-len(tiles) // n_column) * height), 'white')
    for i, tile in enumerate(tiles):
        row, column = divmod(i, n_column)
        picture.paste(tile, (column * width, row * height))
    return picture


@contextlib.contextmanager
def plot(path: str | Path, size: tuple[float, float], dpi: int = 100) -> Iterator[Figure]:
    """Make a figure, and write it at the end of the block.

    The figure needs neither a display nor pyplot's global state. Its texts are drawn as they are:
    a dollar sign begins no formula.

    Args:
        path: the PNG file to write.
        size: (width, height) in inches.
        dpi: pixels per inch.

    Yields:
        The empty figure.

    Raises:
        UserError: the file cannot be written.
    """
    figure = Figure(figsize=size, layout='constrained')
    with (matplotlib.rc_context({'text.parse_math': False}), warnings.catch_warnings(),
          np.errstate(all='ignore')):
        # A name may have characters that the font lacks, or be too long for the layout.
        warnings.filterwarnings('ignore', 'Glyph|constrained_layout')
        yield figure
        with open_whole(path) as file:
            figure.savefig(file, format='png', dpi=dpi)
