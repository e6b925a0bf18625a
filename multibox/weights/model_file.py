"""model.npz: a network's weights with its architecture, its classes and its default boxes."""
import json
import pathlib
from collections.abc import Sequence

from multibox.archives import read_arrays
from multibox.errors import UserError
from multibox.files import open_whole
from multibox.networks import MODELS, make_detector
from multibox.networks.ssd import SSD
from multibox.weights.fitting import fill
from multibox.weights.values import check_boxes, check_class_count, check_label_names

import chainer
import numpy as np

DESCRIPTION = 'multibox'  # the entry of model.npz with the architecture and the class names
BOXES = 'default_bbox'  # the entry with the default boxes, (K, 4)
MAX_DESCRIPTION = 2 ** 24  # bytes, four per letter


def save_model(path: str | pathlib.Path, model: SSD, name: str, label_names: Sequence[str],
               threshold: float | None = None) -> None:
    """Write a network with its architecture, classes, default boxes and threshold.

    The file is written completely, or not at all.

    Args:
        path: the .npz file to write.
        model: a network of :func:`multibox.networks.make_detector`.
        name: the architecture of the network, a key of ``multibox.MODELS``.
        label_names: class names in the order of the labels.
        threshold: the score from which a detection counts, such as that of the best F1 of
            :func:`multibox.evaluation.threshold_curve`; None if it is unknown.

    Raises:
        UserError: the file cannot be written.
    """
    serializer = chainer.serializers.DictionarySerializer()
    serializer.save(model)
    description = np.array(json.dumps({'model': name, 'label_names': list(label_names),
                                       'threshold': threshold}))
    boxes = chainer.backends.cuda.to_cpu(model.coder.default_bbox)
    with open_whole(path) as file:
        np.savez(file, **serializer.target, **{DESCRIPTION: description, BOXES: boxes})


def load_model(path: str | pathlib.Path) -> tuple[SSD, str, tuple[str, ...]]:
    """Rebuild a network from a file of :func:`save_model`.

    A file without default boxes gives the default boxes of the architecture. The threshold in the
    file becomes ``threshold`` and ``score_thresh`` of the network: ``predict`` reports detections
    from this score on. Without a threshold, ``threshold`` is None and ``score_thresh`` is that of
    ChainerCV, 0.6.

    Args:
        path: the .npz file.

    Returns:
        ``(model, name, label_names)``: the network, its architecture and its class names.

    Raises:
        UserError: there is no such file, it was not written by :func:`save_model`, its threshold
            is no number from 0 to 1, its weights do not fit its architecture, or a value is one
            that :mod:`multibox.weights.values` refuses.
    """
    arrays = read_arrays(path)
    description = _describe(path, arrays.pop(DESCRIPTION, np.zeros(0)))
    name, threshold = description['model'], description.get('threshold')
    label_names = check_label_names(path, description['label_names'])
    check_class_count(path, arrays, len(label_names))
    model = make_detector(name, len(label_names))
    if threshold is not None:
        _check_threshold(path, threshold)
        model.threshold = model.score_thresh = threshold
    own = model.coder.default_bbox
    boxes = arrays.pop(BOXES, own)
    result = fill(model, arrays, path)
    if result.misfits or result.missing or boxes.shape != own.shape:
        raise UserError(f'{path}: is not a {name} with {len(label_names)} classes and {len(own)} '
                        f'default boxes\n{result.details()}')
    check_boxes(path, boxes, model.insize)
    model.coder.default_bbox = boxes
    return model, name, label_names


def _describe(path, array):
    """The description in a file: a dict with the key of a network, and class names of any kind."""
    try:
        if array.nbytes > MAX_DESCRIPTION:
            raise ValueError('the description is too long')
        description = json.loads(array.item())
        if description['model'] in MODELS and 'label_names' in description:
            return description
    except (KeyError, TypeError, ValueError, RecursionError):
        pass
    raise UserError(f'{path}: does not say which network it holds; give a model.npz written by '
                    'train.py or by python -m multibox.weights convert')


def _check_threshold(path, threshold):
    is_number = isinstance(threshold, (int, float)) and not isinstance(threshold, bool)
    if not (is_number and 0 <= threshold <= 1):  # nan and infinity fail the comparison
        raise UserError(f'{path}: the threshold must be a number from 0 to 1, got {threshold!r}; '
                        'write it again with multibox.save_model')
