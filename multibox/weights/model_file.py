"""model.npz: a network's weights with its architecture, its classes and its default boxes."""
import json
import pathlib
from collections.abc import Sequence

from multibox.errors import UserError
from multibox.files import open_whole
from multibox.networks import make_detector
from multibox.networks.ssd import SSD
from multibox.weights.fitting import fill
from multibox.weights.npz import open_npz

import chainer
import numpy as np

DESCRIPTION = 'multibox'  # the entry of model.npz with the architecture and the class names
BOXES = 'default_bbox'  # the entry with the default boxes, (K, 4)


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
            is no number from 0 to 1, or its weights do not fit its architecture.
    """
    arrays = open_npz(path)
    try:
        description = json.loads(arrays.pop(DESCRIPTION).item())
        name, label_names = description['model'], tuple(description['label_names'])
        model = make_detector(name, len(label_names))
    except (KeyError, TypeError, ValueError):
        raise UserError(f'{path}: does not say which network it holds; give a model.npz written '
                        'by train.py or by python -m multibox.weights convert') from None
    threshold = description.get('threshold')
    if threshold is not None:
        _check_threshold(path, threshold)
        model.threshold = model.score_thresh = threshold
    own = model.coder.default_bbox
    boxes = arrays.pop(BOXES, own)
    result = fill(model, arrays)
    if result.misfits or result.missing or boxes.shape != own.shape:
        raise UserError(f'{path}: is not a {name} with {len(label_names)} classes and {len(own)} '
                        f'default boxes\n{result.details()}')
    model.coder.default_bbox = boxes
    return model, name, label_names


def _check_threshold(path, threshold):
    is_number = isinstance(threshold, (int, float)) and not isinstance(threshold, bool)
    if not (is_number and 0 <= threshold <= 1):  # nan and infinity fail the comparison
        raise UserError(f'{path}: the threshold must be a number from 0 to 1, got {threshold!r}; '
                        'write it again with multibox.save_model')
