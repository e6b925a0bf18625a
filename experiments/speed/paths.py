"""Two paths from a photograph to a training example: ChainerCV's and that of multibox."""
import collections
import time
from typing import Any

from multibox.data import AUGMENTATIONS, MakeTargets, VOCDataset, augmentation, seed_all
from multibox.data.rendering import render

import numpy as np
from chainercv import transforms
from chainercv.datasets import VOCBboxDataset
from chainercv.datasets.voc import voc_utils
from chainercv.links import SSD300, SSD512
from chainercv.links.model.ssd import (
    random_crop_with_bbox_constraints,
    random_distort,
    resize_with_random_interpolation,
)


class Stages:
    """A path from image ``i`` to its training example.

    Attributes:
        seconds: seconds of each stage so far.
    """

    def __init__(self):
        self.seconds = collections.Counter()

    def _timed(self, stage, call, *args, **kwargs):
        start = time.perf_counter()
        result = call(*args, **kwargs)
        self.seconds[stage] += time.perf_counter() - start
        return result


class ChainerCV(Stages):
    """ChainerCV's data set, the steps of its trainer, and its coder.

    Args:
        examples: a list of :class:`multibox.data.annotations.Example`, all of one folder.
        label_names: the classes.
        model: a network, for the size and the mean of images.
    """

    def __init__(self, examples: list, label_names: tuple, model: Any):
        super().__init__()
        voc_utils.voc_bbox_label_names = tuple(name.lower() for name in label_names)
        folder = examples[0].path.parents[1]
        split = next(split for split in ('trainval', 'train', 'val')
                     if (folder / f'ImageSets/Main/{split}.txt').is_file())
        self.dataset = VOCBboxDataset(str(folder), split)
        self.dataset.ids = [example.path.stem for example in examples]
        # Only the coder is used: the weights stay without values.
        detector = (SSD512 if model.insize == 512 else SSD300)(n_fg_class=len(label_names))
        self.coder, self.size, self.mean = detector.coder, model.insize, model.mean

    def __call__(self, i: int, seed: int) -> tuple:
        """The image, boxes, labels and targets of image ``i``, augmented with a seed."""
        bbox, label = self._timed('annotation', self.dataset.get_example_by_keys, i, (1, 2))
        img, = self._timed('decode', self.dataset.get_example_by_keys, i, (0,))
        seed_all(seed)
        img = self._timed('distort', random_distort, img)
        img, bbox = self._timed('expand', self._expand, img, bbox)
        img, bbox, label = self._timed('crop', self._crop, img, bbox, label)
        img, bbox = self._timed('resize', self._resize, img, bbox)
        img, bbox = self._timed('flip', self._flip, img, bbox)
        img = self._timed('subtract mean', lambda: img - self.mean)
        return img, bbox, label, self._timed('encode', self.coder.encode, bbox, label)

    def _expand(self, img, bbox):
        if np.random.randint(2):
            img, at = transforms.random_expand(img, fill=self.mean, return_param=True)
            bbox = transforms.translate_bbox(bbox, at['y_offset'], at['x_offset'])
        return img, bbox

    def _crop(self, img, bbox, label):
        img, at = random_crop_with_bbox_constraints(img, bbox, return_param=True)
        bbox, kept = transforms.crop_bbox(bbox, at['y_slice'], at['x_slice'],
                                          allow_outside_center=False, return_param=True)
        return img, bbox, label[kept['index']]

    def _resize(self, img, bbox):
        to = self.size, self.size
        bbox = transforms.resize_bbox(bbox, img.shape[1:], to)
        return resize_with_random_interpolation(img, to), bbox

    def _flip(self, img, bbox):
        img, flip = transforms.random_flip(img, x_random=True, return_param=True)
        return img, transforms.flip_bbox(bbox, (self.size, self.size), x_flip=flip['x_flip'])


class Multibox(Stages):
    """The path of multibox.data, on which annotations are read beforehand.

    Every example is written into the same arrays, as a loader process writes into a batch.
    """

    def __init__(self, examples: list, model: Any):
        super().__init__()
        self.dataset = VOCDataset(examples, dtype=np.uint8)
        self.coder, self.size = model.coder, model.insize
        self.mean = np.asarray(model.mean, np.float32)
        fields = MakeTargets(model.coder, model.insize, model.mean).fields
        self.img, *self.targets = (np.empty(shape, dtype) for shape, dtype in fields)

    def __call__(self, i: int, seed: int) -> tuple:
        img, bbox, label, _ = self._timed('decode', self.dataset.__getitem__, i)
        seed_all(seed)
        plan = self._timed('draw', augmentation.sample_plan, *img.shape[1:], bbox,
                          AUGMENTATIONS['full'])
        bbox, kept = self._timed('boxes', augmentation.move_boxes, bbox, plan, self.size)
        label = label[kept]
        img = self._timed('render', render, img, plan, self.size, self.mean, self.img)
        img = self._timed('subtract mean', np.subtract, img, self.mean, out=img)
        return img, bbox, label, self._timed(
            'encode', self.coder.encode, bbox, label, out=self.targets)
