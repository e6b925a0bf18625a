"""PASCAL VOC, or any folder with the layout of VOC, as a training set and a test set."""
import zlib
from pathlib import Path
from typing import Any, NamedTuple

from multibox.data.annotations import (
    Example,
    find_label_names,
    read_annotations,
    read_unannotated,
)
from multibox.data.splits import find_devkit, find_splits, read_ids, split_file
from multibox.errors import UserError

import chainer
import cv2
import numpy as np

SERVER = 'http://host.robots.ox.ac.uk:8080'
MAX_SHOWN = 10  # problems that an error about the whole data set lists


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
        """Decode image ``i``.

        Returns:
            ``(img, bbox, label, difficult)``: (3, H, W) ``dtype`` RGB 0..255, (R, 4) float32,
            (R,) int32, (R,) bool.

        Raises:
            UserError: the file is not an image that can be decoded.
        """
        path, bbox, label, difficult, _ = self.examples[i]
        # EXIF orientation is ignored, because the boxes belong to the stored pixels.
        img = cv2.imread(str(path), cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
        if img is None:
            raise UserError(f'{path}: cannot be decoded as an image; replace it, or take its id '
                            'out of ImageSets/Main')
        img = cv2.cvtColor(img, cv2.COLOR_BGR2RGB).transpose(2, 0, 1)  # (H, W, 3) -> (3, H, W)
        return img.astype(self.dtype, copy=False), bbox, label, difficult

    def as_decoded(self) -> 'VOCDataset':
        """The same data set with images in uint8, which saves a copy per image in training."""
        return VOCDataset(self.examples, np.uint8)

    @property
    def paths(self) -> list[Path]:
        """The image files."""
        return [example.path for example in self.examples]


class VOCData(NamedTuple):
    """A data set, as :func:`load_voc` returns it.

    Attributes:
        train: VOCDataset to train on; empty if only the test split was asked for.
        test: VOCDataset to evaluate on; it keeps objects marked difficult.
        label_names: tuple of str.
        problems: list of :class:`multibox.data.annotations.Problem`, the annotations left out.
        notes: list of str, remarks on splits and classes for the user.
    """
    train: VOCDataset
    test: VOCDataset
    label_names: tuple
    problems: list
    notes: list

    def checksum(self) -> int:
        """Checksum of file names, boxes and labels, the same for equal copies in other folders."""
        return zlib.crc32(repr([
            (example.path.name, example.bbox.tolist(), example.label.tolist())
            for example in (*self.train.examples, *self.test.examples)]).encode())


def _read(sources, label_names):
    """Read the examples and problems of a list of (folder, ids)."""
    examples, problems = [], []
    for folder, ids in sources:
        read, found = read_annotations(folder, ids, label_names)
        examples += read
        problems += found
    return examples, problems


def without_difficult(example: Example) -> Example:
    """The example without its objects marked difficult."""
    easy = ~example.difficult
    return example._replace(bbox=example.bbox[easy], label=example.label[easy],
                            difficult=example.difficult[easy])


def load_voc(folder: str | Path, difficult: bool = False, strict: bool = False,
             split: str = '07+12', train: bool = True) -> VOCData:
    """Find the splits of a VOC folder, and read and check all its annotations.

    A VOCdevkit (or a folder that holds one) gives one of the paper's splits (Liu et al., ECCV
    2016, sec. 3.1 and 3.3). "07" trains on VOC2007 trainval and evaluates on VOC2007 test. "07+12"
    also trains on VOC2012 trainval. "07++12" also trains on VOC2007 test. Its test set is empty,
    because the annotations of VOC2012 test are not published; see :func:`voc2012_test`.

    Another folder gives trainval.txt (or train.txt) and test.txt, or else train.txt and val.txt.
    Its class names are those of labels.txt, or else those found in the annotations, sorted.

    Args:
        folder: the folder.
        difficult: whether to train on objects marked difficult as well. The paper's Caffe code
            does so; ChainerCV and ssd.pytorch do not.
        strict: refuse a data set with problems instead of leaving the bad parts out.
        split: one of :data:`multibox.data.SPLITS`; for a VOCdevkit only.
        train: False reads only the images to evaluate on; the folder need not hold others.

    Returns:
        :class:`VOCData`.

    Raises:
        UserError: the layout is not VOC's, nothing usable is left to train or evaluate on, or a
            problem was found under ``strict``.
    """
    train_splits, test_splits, label_names, notes = find_splits(Path(folder), split, train)
    train_ids, test_ids = ([(source, read_ids(source, split)) for source, split in splits]
                           for splits in (train_splits, test_splits))
    shared = {(source, i) for source, ids in train_ids for i in ids} & {
        (source, i) for source, ids in test_ids for i in ids}
    if shared:
        notes.append(f'{folder}: {len(shared)} images are both in the training list and in the '
                     'test list; a score on training images says little')
    if label_names is None:
        label_names = tuple(sorted({name for source, ids in train_ids + test_ids
                                    for name in find_label_names(source, ids)}))
        notes.append(f'{folder}: no labels.txt; found {len(label_names)} classes: '
                     + ', '.join(label_names))
    examples, problems = _read(train_ids, label_names)
    test, test_problems = _read(test_ids, label_names)
    problems += test_problems
    if strict and problems:
        raise UserError(f'{folder}: {len(problems)} problems in the annotations:\n'
                        + '\n'.join(map(str, problems)))
    if not difficult:
        examples = [without_difficult(example) for example in examples]
    needed = {'train on': examples} if train else {}
    if test_splits:
        needed['evaluate on'] = test
    for use, found in needed.items():
        if not any(len(example.bbox) for example in found):
            shown = ''.join(f'\n{problem}' for problem in problems[:MAX_SHOWN])
            raise UserError(f'{folder}: no usable object to {use}, in {len(found)} usable '
                            f'images; the first of {len(problems)} problems:{shown}')
    return VOCData(VOCDataset(examples), VOCDataset(test), label_names, problems, notes)


def voc2012_test(folder: str | Path) -> VOCDataset:
    """The images of VOC2012 test, whose annotations are on PASCAL's evaluation server only.

    Args:
        folder: a VOCdevkit, or a folder that holds one.

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
    return VOCDataset(read_unannotated(
        [images / f'{i}.jpg' for i in read_ids(devkit / 'VOC2012', 'test')]))


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
