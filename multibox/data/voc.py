"""A data set in memory: images that are decoded on demand, and their objects."""
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from multibox.boxes.coder import IGNORED
from multibox.data.annotations import NO_BOXES, Example
from multibox.data.inspection import inspect_all
from multibox.data.pictures import (
    MAX_PIXELS,
    Unreadable,
    read,
    read_resized,
    read_upright,
)
from multibox.data.pool import map_batches, map_files
from multibox.data.splits import find_devkit, read_ids, split_file
from multibox.errors import UserError
from multibox.resized import Resized

import chainer
import numpy as np

SERVER = 'http://host.robots.ox.ac.uk:8080'


class VOCDataset(chainer.dataset.DatasetMixin):
    """Images, which are decoded on demand, and their annotations, which are read beforehand.

    Attributes:
        examples: list of :class:`multibox.data.annotations.Example`.
        dtype: the dtype of the images, float32 or uint8.
    """

    def __init__(self, examples: list, dtype: Any = np.float32):
        self.examples, self.dtype = examples, dtype

    def __len__(self) -> int:
        return len(self.examples)

    def get_example(self, i: int) -> tuple:
        """Decode image ``i``, and turn it upright.

        Returns:
            ``(img, bbox, label, difficult)``: (3, H, W) ``dtype`` RGB 0..255, (R, 4) float32,
            (R,) int32, (R,) bool.

        Raises:
            UserError: the file is not an image that can be decoded.
        """
        example = self.examples[i]
        return (read(example.path, self.dtype, example.size), example.bbox, example.label,
                example.difficult)

    def resized(self, indices: Iterable[int], side: int, batchsize: int,
                overlap: bool = False) -> Iterator[list[Resized | Unreadable]]:
        """Read images in worker processes, in the size of a network's input.

        Args:
            indices: the numbers of the images.
            side: side of the input in pixels.
            batchsize, overlap: as for :func:`multibox.data.pool.map_batches`.

        Returns:
            An iterator over lists. Each has per image :class:`multibox.resized.Resized`, or the
            reason why it cannot be read.
        """
        examples = [self.examples[i] for i in indices]
        largest = max((int(example.size[0]) * int(example.size[1]) for example in examples),
                      default=0)
        return map_batches(read_resized, [(example.path, side) for example in examples], batchsize,
                           max(MAX_PIXELS, largest), overlap)

    def picture(self, i: int) -> np.ndarray:
        """Read image ``i`` in a worker process to show it.

        Returns:
            (3, H, W) uint8 array, RGB.

        Raises:
            UserError: the file is no longer an image that can be decoded.
        """
        example = self.examples[i]
        height, width = map(int, example.size)
        img, = map_files(read_upright, [(example.path, np.uint8)],
                         max(MAX_PIXELS, height * width))
        if isinstance(img, Unreadable):
            raise UserError(f'{example.path}: {img}')
        return img

    def as_decoded(self) -> 'VOCDataset':
        """The same data set as training reads it.

        Images are uint8, which saves a copy per image. Ignored regions are further objects with the
        label :data:`IGNORED`.
        """
        return VOCDataset([with_ignored(example) for example in self.examples], np.uint8)

    @property
    def paths(self) -> list[Path]:
        """The image files."""
        return [example.path for example in self.examples]


class VOCData(NamedTuple):
    """A data set, as :func:`multibox.data.load_data` returns it.

    Attributes:
        train: VOCDataset to train on; empty if only the test split was asked for.
        test: VOCDataset to evaluate on; it keeps objects marked difficult.
        label_names: tuple of str.
        problems: list of :class:`multibox.data.annotations.Problem`, the annotations left out.
        notes: list of str, remarks on splits, classes and boxes for the user.
        drawn: the names of the images of a split that was drawn at random, {'train': [str],
            'test': [str]}; None if the data came with a split.
        crowds: whether difficult objects are COCO's crowds, which nobody trains on.
    """
    train: VOCDataset
    test: VOCDataset
    label_names: tuple
    problems: list
    notes: list
    drawn: dict | None = None
    crowds: bool = False

    def checksum(self) -> int:
        """Checksum of file names, boxes and labels, the same for equal copies in other folders."""
        return zlib.crc32(repr([
            (example.path.name, example.bbox.tolist(), example.label.tolist())
            for example in (*self.train.examples, *self.test.examples)]).encode())


def without_difficult(example: Example) -> Example:
    """The example without its objects marked difficult."""
    easy = ~example.difficult
    return example._replace(bbox=example.bbox[easy], label=example.label[easy],
                            difficult=example.difficult[easy])


def with_ignored(example: Example) -> Example:
    """The example with its ignored regions as objects of the label :data:`IGNORED`."""
    if not len(example.ignored):
        return example
    n = len(example.ignored)
    return example._replace(
        bbox=np.concatenate([example.bbox, example.ignored]),
        label=np.concatenate([example.label, np.full(n, IGNORED, np.int32)]),
        difficult=np.concatenate([example.difficult, np.zeros(n, bool)]), ignored=NO_BOXES)


def voc2012_test(folder: str | Path, max_pixels: int = MAX_PIXELS) -> VOCDataset:
    """The images of VOC2012 test, whose annotations are on PASCAL's evaluation server only.

    Args:
        folder: a VOCdevkit, or a folder that holds one.
        max_pixels: the largest number of pixels of an image.

    Returns:
        :class:`VOCDataset` without objects.

    Raises:
        UserError: the images are missing or cannot be read.
    """
    devkit = find_devkit(Path(folder))
    if devkit is None or not split_file(devkit / 'VOC2012', 'test').is_file():
        raise UserError(f'{folder}: no VOC2012/ImageSets/Main/test.txt; get VOC2012test.tar '
                        f"from PASCAL's evaluation server, {SERVER}, and unpack it over the rest")
    images = devkit / 'VOC2012' / 'JPEGImages'
    paths = [images / f'{i}.jpg' for i in read_ids(devkit / 'VOC2012', 'test')]
    examples = []
    for path, picture in inspect_all(paths, str(devkit), max_pixels).items():
        if isinstance(picture, str):
            raise UserError(f'{path}: {picture}')
        examples.append(Example(path, NO_BOXES, np.zeros(0, np.int32), np.zeros(0, bool),
                                picture.upright[::-1]))
    return VOCDataset(examples)


def relabel(dataset: VOCDataset, names: tuple, new_names: tuple, model: str | Path) -> VOCDataset:
    """Number the classes of a data set as a network does.

    Args:
        dataset: the data set.
        names: its class names, in the order of its labels.
        new_names: the class names of the network, which may be more.
        model: the file of the network, for the message.

    Returns:
        :class:`VOCDataset`.

    Raises:
        UserError: the data has a class that the network does not know.
    """
    unknown = sorted(set(names) - set(new_names))
    if unknown:
        raise UserError(f'{model}: does not know {", ".join(unknown)}, only '
                        f'{", ".join(new_names)}; give the data it was trained for')
    number = np.array([new_names.index(name) for name in names], np.int32)
    return VOCDataset([example._replace(label=number[example.label])
                       for example in dataset.examples])
