"""The pictures of a run's input: its data set, and its first images after the augmentation."""
from pathlib import Path
from typing import Any

from multibox.data.gallery import save_pictures
from multibox.data.sequence import TrainingSequence
from multibox.data.voc import VOCData
from multibox.report.mosaic import save_mosaic
from multibox.report.pictures import jpeg

from PIL import Image

TRAINING = 'training.png'
DATA = 'data-set'  # the folder; a folder named data may be the data set itself
MAX_PIXELS = 6e7  # of the sample together: 5 photographs of 12 megapixels, which take seconds
WIDTH = 900  # pixels of a picture on the page


def save_inputs(out: Path, data: VOCData, sequence: TrainingSequence, processes: Any) -> None:
    """Write ``out/training.png`` and three pictures of the data set into ``out/data-set``.

    A picture that cannot be drawn is named on stdout, and does not end the run.

    Args:
        out: the folder of the run.
        data: the data set.
        sequence: the examples of the run, see :func:`multibox.report.mosaic.save_mosaic`.
        processes: the processes of the run; the first one draws.
    """
    if not processes.is_first:
        return
    for path, draw in (
            (out / TRAINING, lambda path: save_mosaic(path, sequence, data.label_names)),
            (out / DATA, lambda path: save_pictures(data, path, MAX_PIXELS))):
        try:
            draw(path)
        except Exception as error:  # a training of days does not depend on a picture
            print(f'{path}: not drawn ({error}); the run goes on without it', flush=True)


def data_pictures(out: Path) -> list[bytes]:
    """The pictures of the data set as small JPEG files, for the page."""
    return [shrink(path) for name in ('sample', 'statistics', 'positions')
            if (path := out / DATA / f'{name}.png').exists()]


def shrink(path: Path) -> bytes:
    """A picture as a JPEG file of at most :data:`WIDTH` pixels in width."""
    with Image.open(path) as picture:
        scale = min(1, WIDTH / picture.width)
        size = round(picture.width * scale), round(picture.height * scale)
        return jpeg(picture.convert('RGB'), size)
