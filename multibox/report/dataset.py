"""Statistics of a data set: images, objects per class, and sizes of boxes."""
import itertools

from multibox.data.voc import VOCData
from multibox.report.scores import MAX_ROWS

import numpy as np

SIZES = (0, 1 / 32, 1 / 16, 1 / 8, 1 / 4, 1 / 2, 1)  # limits of relative box sizes


def data_statistics(data: VOCData) -> dict:
    """Count the images and objects of each split that is not empty, by class and by size.

    Args:
        data: the data set.

    Returns:
        dict with ``notes``, the remarks of the data set; ``splits``, the names of the splits; and
        ``summary``, ``classes`` and ``sizes``, three tables. Each row is a name and one cell per
        split. ``n_left_out`` is the number of the rarest classes without a row.
    """
    splits = {name: split.examples
              for name, split in (('training', data.train), ('test', data.test)) if split}
    counts = [_count(examples, len(data.label_names)) for examples in splits.values()]
    shares = [_size_shares(examples) for examples in splits.values()]
    classes = range(len(data.label_names))
    if len(classes) > MAX_ROWS:
        classes = np.sort(np.argsort(-sum(counts), kind='stable')[:MAX_ROWS]).tolist()
    return {
        'notes': data.notes,
        'splits': list(splits),
        'summary': [[name, *map(value, splits.values())] for name, value in SUMMARY.items()],
        'classes': [[data.label_names[n], *(int(count[n]) for count in counts)] for n in classes],
        'n_left_out': len(data.label_names) - len(classes),
        'sizes': [[f'{100 * low:.3g} to {100 * high:.3g} %',
                   *({'share': share[i], 'text': f'{100 * share[i]:.1f} %'} for share in shares)]
                  for i, (low, high) in enumerate(itertools.pairwise(SIZES))]}


def _n_object(examples):
    return sum(len(example.bbox) for example in examples)


def _image_sizes(examples):
    sizes = [example.size for example in examples]
    texts = [f'{width} × {height}' for height, width in (np.min(sizes, 0), np.max(sizes, 0))]  # noqa: RUF001
    return ' to '.join(dict.fromkeys(texts))


SUMMARY = {
    'images': len,
    'images without objects': lambda examples: sum(not len(each.bbox) for each in examples),
    'image sizes': _image_sizes,
    'objects': _n_object,
    'objects marked difficult': lambda examples: sum(
        int(each.difficult.sum()) for each in examples),
    'objects per image': lambda examples: f'{_n_object(examples) / len(examples):.1f}'}


def _count(examples, n_class):
    """(n_class,) int array: number of objects of each class."""
    return np.bincount(np.concatenate([each.label for each in examples]), minlength=n_class)


def _size_shares(examples):
    """(6,) float array: share of the boxes in each interval of SIZES."""
    sizes = np.concatenate([
        np.sqrt(np.prod((example.bbox[:, 2:] - example.bbox[:, :2]) / example.size, axis=1))
        for example in examples])
    return np.histogram(sizes.clip(0, 1), SIZES)[0] / max(len(sizes), 1)
