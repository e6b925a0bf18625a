"""PASCAL VOC, or any folder laid out like it, as a training and a test set."""
import zlib
from pathlib import Path
from typing import NamedTuple

from multibox.data.annotations import find_label_names, read_annotations, read_unannotated
from multibox.errors import UserError

import chainer
import cv2
import numpy as np
from chainercv.datasets import voc_bbox_label_names

LAYOUT = ('Annotations/*.xml, JPEGImages/*.jpg and ImageSets/Main/*.txt, or be a VOCdevkit with '
          'VOC2007/ or VOC2012/ (README "Training")')
SERVER = 'http://host.robots.ox.ac.uk:8080'
SPLITS = ('07', '07+12', '07++12')
MAX_SHOWN = 10  # problems in an error that is not about each of them


class VOCDataset(chainer.dataset.DatasetMixin):
    """Images decoded on demand, with annotations read beforehand.

    Attributes:
        examples: list of :class:`multibox.data.annotations.Example`.
        dtype: of the images, float32 or uint8.
    """

    def __init__(self, examples, dtype=np.float32):
        self.examples, self.dtype = examples, dtype

    def __len__(self):
        return len(self.examples)

    def get_example(self, i):
        """Decode image ``i``.

        Returns:
            ``(img, bbox, label, difficult)``: (3, H, W) ``dtype`` RGB 0..255, (R, 4) float32,
            (R,) int32, (R,) bool.

        Raises:
            UserError: the file is not an image that can be decoded.
        """
        path, bbox, label, difficult, _ = self.examples[i]
        # As stored, whatever EXIF says of its orientation: the boxes belong to the stored pixels.
        img = cv2.imread(str(path), cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
        if img is None:
            raise UserError(f'{path}: cannot be decoded as an image; replace it, or take its id '
                            'out of ImageSets/Main')
        img = cv2.cvtColor(img, cv2.COLOR_BGR2RGB).transpose(2, 0, 1)  # (H, W, 3) -> (3, H, W)
        return img.astype(self.dtype, copy=False), bbox, label, difficult

    def as_decoded(self):
        """The same images in uint8, as they are decoded: a copy less where training reads them."""
        return VOCDataset(self.examples, np.uint8)

    @property
    def paths(self):
        """The image files: list of pathlib.Path."""
        return [example.path for example in self.examples]


class VOCData(NamedTuple):
    """What :func:`load_voc` found.

    Attributes:
        train: VOCDataset to train on; empty where only the test split was asked for.
        test: VOCDataset to evaluate on; it keeps difficult objects, marked.
        label_names: tuple of str.
        problems: list of :class:`multibox.data.annotations.Problem`, what was left out.
        notes: list of str, what the user should be told about splits and classes.
    """
    train: VOCDataset
    test: VOCDataset
    label_names: tuple
    problems: list
    notes: list

    def checksum(self):
        """int that copies of a data set share only if they have the same images and objects."""
        return zlib.crc32(repr([
            (example.path.name, example.bbox.tolist(), example.label.tolist())
            for example in (*self.train.examples, *self.test.examples)]).encode())


def _split_file(folder, split):
    return folder / 'ImageSets' / 'Main' / f'{split}.txt'


def _read_lines(path):
    try:
        text = path.read_text(encoding='utf-8-sig')
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f'{path}: cannot be read ({error}); it should be a list, one name a line '
                        'in UTF-8') from error
    return [line.strip() for line in text.splitlines() if line.strip()]


def _read_ids(folder, split):
    # Split files of one class carry a second column: 1, 0 or -1.
    return [line.split()[0] for line in _read_lines(_split_file(folder, split))]


def _has_test_annotations(folder):
    return _split_file(folder, 'test').is_file() and any(
        (folder / 'Annotations' / f'{i}.xml').is_file() for i in _read_ids(folder, 'test'))


def _devkit_splits(devkit, split):
    """Splits of a VOCdevkit as the paper's, or of "07" and "07+12" the nearest to it on disk.

    Returns:
        ``(train, test, notes)``: two lists of (folder, split name), and a list of str.
    """
    voc2007, voc2012 = devkit / 'VOC2007', devkit / 'VOC2012'
    if split == '07++12':
        return ([(voc2007, 'trainval'), (voc2007, 'test'), (voc2012, 'trainval')], [],
                ["--split 07++12: trains, but has no score: PASCAL's server alone has the "
                 'annotations of VOC2012 test; evaluate.py --submission writes what it takes'])
    years = (voc2007, voc2012) if split == '07+12' else (voc2007,)
    notes = [f'{year}: not here; going on without it' for year in years
             if not (year / 'Annotations').is_dir()]
    train, test = [], []
    if (voc2007 / 'Annotations').is_dir():
        if _has_test_annotations(voc2007):
            train, test = [(voc2007, 'trainval')], [(voc2007, 'test')]
        else:
            notes.append(f'{voc2007}: no annotated test split; VOC2007 val is kept out of '
                         'training and evaluated on instead')
            train, test = [(voc2007, 'train')], [(voc2007, 'val')]
    if voc2012 in years and (voc2012 / 'Annotations').is_dir():
        train.append((voc2012, 'trainval' if test else 'train'))
        test = test or [(voc2012, 'val')]
    return train, test, notes


def _folder_splits(folder, train):
    """Splits of a folder with one ImageSets/Main: two lists of (folder, split name)."""
    has = {split: _split_file(folder, split).is_file()
           for split in ('trainval', 'train', 'val', 'test')}
    if not train and (has['test'] or has['val']):
        return [], [(folder, 'test' if has['test'] else 'val')]
    if has['test'] and (has['trainval'] or has['train']):
        return [(folder, 'trainval' if has['trainval'] else 'train')], [(folder, 'test')]
    if has['train'] and has['val']:
        return [(folder, 'train')], [(folder, 'val')]
    found = ', '.join(f'{split}.txt' for split in has if has[split]) or 'none of them'
    needed = ('trainval.txt (or train.txt) and test.txt, or train.txt and val.txt' if train
              else 'test.txt or val.txt')
    raise UserError(f'{folder / "ImageSets" / "Main"}: needs {needed}, but holds {found}; write '
                    'the missing list, one file name without suffix a line')


def _find_devkit(folder):
    for devkit in (folder, folder / 'VOCdevkit'):
        if any((devkit / year / 'Annotations').is_dir() for year in ('VOC2007', 'VOC2012')):
            return devkit
    return None


def _find_splits(folder, split, train):
    """Returns (train, test, label names or None, notes) for any folder load_voc takes."""
    if not folder.is_dir():
        raise UserError(f'{folder}: no such folder; it should hold {LAYOUT}')
    devkit = _find_devkit(folder)
    if devkit:
        if not train and split == '07+12' and (devkit / 'VOC2007' / 'Annotations').is_dir():
            split = '07'  # with the same images to evaluate on, whether VOC2012 is there or not
        train_splits, test, notes = _devkit_splits(devkit, split)
        return train_splits if train else [], test, voc_bbox_label_names, notes
    if not (folder / 'Annotations').is_dir():
        raise UserError(f'{folder}: no Annotations/ here; the folder should hold {LAYOUT}')
    if split != SPLITS[1]:
        raise UserError(f'--split {split}: {folder} is not a VOCdevkit; leave it out')
    train_splits, test = _folder_splits(folder, train)
    labels = folder / 'labels.txt'
    return train_splits, test, tuple(_read_lines(labels)) if labels.is_file() else None, []


def _read(sources, label_names):
    """Examples and problems of a list of (folder, ids), joined."""
    examples, problems = [], []
    for folder, ids in sources:
        read, found = read_annotations(folder, ids, label_names)
        examples += read
        problems += found
    return examples, problems


def without_difficult(example):
    """The example without its objects marked difficult."""
    easy = ~example.difficult
    return example._replace(bbox=example.bbox[easy], label=example.label[easy],
                            difficult=example.difficult[easy])


def load_voc(folder, difficult=False, strict=False, split='07+12', train=True):
    """Find the splits of a VOC folder and read all its annotations, checking each.

    A VOCdevkit (or a folder that holds one) gives one of the paper's splits (Liu et al., ECCV
    2016, sec. 3.1 and 3.3). "07": VOC2007 trainval to train on, VOC2007 test to evaluate on.
    "07+12": VOC2012 trainval to train on, too. "07++12": VOC2007 test to train on, too; its test
    set is empty here, that of the paper is :func:`voc2012_test`. Another folder gives trainval.txt
    (or train.txt) and test.txt, or else train.txt and val.txt, with the class names of its
    labels.txt, or else those found in the annotations, sorted.

    Args:
        folder: str or path.
        difficult: train on objects marked difficult too. The paper's Caffe code does, ChainerCV
            and ssd.pytorch do not.
        strict: refuse a data set with problems instead of leaving the bad parts out.
        split: of a VOCdevkit, one of :data:`SPLITS`.
        train: False reads the images to evaluate on alone; the folder need not hold others.

    Returns:
        :class:`VOCData`.

    Raises:
        UserError: the layout is not VOC's, nothing usable is left to train or evaluate on, or
            ``strict`` and a problem was found.
    """
    train_splits, test_splits, label_names, notes = _find_splits(Path(folder), split, train)
    train_ids, test_ids = ([(source, _read_ids(source, split)) for source, split in splits]
                           for splits in (train_splits, test_splits))
    shared = {(source, i) for source, ids in train_ids for i in ids} & {
        (source, i) for source, ids in test_ids for i in ids}
    if shared:
        notes.append(f'{folder}: {len(shared)} images are in both lists; a score on images that '
                     'were trained on says little')
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


def voc2012_test(folder):
    """The images of VOC2012 test, whose annotations are on PASCAL's evaluation server only.

    Args:
        folder: a VOCdevkit, or a folder that holds one; str or path.

    Returns:
        :class:`VOCDataset` without objects.

    Raises:
        UserError: they are not there, or not images.
    """
    devkit = _find_devkit(Path(folder))
    if devkit is None or not _split_file(devkit / 'VOC2012', 'test').is_file():
        raise UserError(f'{folder}: no VOC2012/ImageSets/Main/test.txt here; get VOC2012test.tar '
                        f"from PASCAL's evaluation server, {SERVER}, and unpack it over the rest")
    images = devkit / 'VOC2012' / 'JPEGImages'
    return VOCDataset(read_unannotated(
        [images / f'{i}.jpg' for i in _read_ids(devkit / 'VOC2012', 'test')]))


def relabel(dataset, names, new_names, model):
    """Number the classes of a data set as a network does.

    Args:
        dataset: :class:`VOCDataset`.
        names: its class names, in the order of its labels.
        new_names: those of the network; it may know more.
        model: the network's file, for the message.

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
