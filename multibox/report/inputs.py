"""The pictures of a run's input: its data set, and its first images after the augmentation."""
from pathlib import Path
from typing import Any

from multibox.data.gallery import save_pictures
from multibox.data.sequence import TrainingSequence
from multibox.data.voc import VOCData
from multibox.faults import Faults
from multibox.report.mosaic import save_mosaic
from multibox.report.pictures import jpeg

from PIL import Image

TRAINING = 'training.png'
DATA = 'data-set'  # the folder; a folder named data may be the data set itself
MAX_PIXELS = 6e7  # of the sample together: 5 photographs of 12 megapixels, which take seconds
WIDTH = 900  # pixels of a picture on the page


def save_inputs(out: Path, data: VOCData, sequence: TrainingSequence,
                processes: Any) -> list[str]:
    """Write ``out/training.png`` and three pictures of the data set into ``out/data-set``.

    A picture that cannot be drawn is named on stdout. The run goes on.

    Args:
        out: the folder of the run.
        data: the data set.
        sequence: the examples of the run, see :func:`multibox.report.mosaic.save_mosaic`.
        processes: the processes of the run; the first one draws.

    Returns:
        One line per picture that could not be drawn, for the end of the run.
    """
    faults = Faults()
    if processes.is_first:
        with faults.of(out / TRAINING):
            save_mosaic(out / TRAINING, sequence, data.label_names)
        with faults.of(out / DATA):
            save_pictures(data, out / DATA, MAX_PIXELS)
    for line in faults.found:
        print(f'{line}; not drawn, the run goes on without it', flush=True)
    return faults.found


def data_pictures(out: Path) -> list[Path]:
    """The files of the pictures of the data set that have been drawn."""
    return [path for name in ('sample', 'statistics', 'positions')
            if (path := out / DATA / f'{name}.png').is_file()]


def shrink(path: Path) -> bytes:
    """A picture as a JPEG file of at most :data:`WIDTH` pixels in width."""
    with Image.open(path) as picture:
        scale = min(1, WIDTH / picture.width)
        width, height = (max(1, round(side * scale)) for side in picture.size)
        return jpeg(picture.convert('RGB'), (width, height))
