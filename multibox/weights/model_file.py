"""model.npz: a network's weights with its architecture, its classes and its default boxes."""
import json

from multibox.detectors import make_detector
from multibox.errors import UserError
from multibox.files import open_whole
from multibox.weights.fitting import fill
from multibox.weights.npz import open_npz

import chainer
import numpy as np

DESCRIPTION = 'multibox'  # the entry of model.npz that says what the file holds
BOXES = 'default_bbox'  # and that of the default boxes, (K, 4)


def save_model(path, model, name, label_names):
    """Write a network with its architecture, classes and default boxes, whole or not at all.

    Args:
        path: the .npz file to write.
        model: a network of :func:`make_detector`.
        name: its architecture, a key of ``MODELS``.
        label_names: class names in the order of the labels.

    Raises:
        UserError: the file cannot be written.
    """
    serializer = chainer.serializers.DictionarySerializer()
    serializer.save(model)
    description = np.array(json.dumps({'model': name, 'label_names': list(label_names)}))
    boxes = chainer.backends.cuda.to_cpu(model.coder.default_bbox)
    with open_whole(path) as file:
        np.savez(file, **serializer.target, **{DESCRIPTION: description, BOXES: boxes})


def load_model(path):
    """Rebuild a network from :func:`save_model`'s file alone.

    Older files do not hold default boxes, which are then those of the architecture.

    Args:
        path: the .npz file.

    Returns:
        ``(model, name, label_names)``.

    Raises:
        UserError: no such file, not a file of :func:`save_model`, or weights that do not fit.
    """
    arrays = open_npz(path)
    try:
        description = json.loads(arrays.pop(DESCRIPTION).item())
        name, label_names = description['model'], tuple(description['label_names'])
        model = make_detector(name, len(label_names))
    except (KeyError, TypeError, ValueError):
        raise UserError(f'{path}: does not say which network it holds; give a model.npz written '
                        'by train.py or by python -m multibox.weights convert') from None
    own = model.coder.default_bbox
    boxes = arrays.pop(BOXES, own)
    result = fill(model, arrays)
    if result.misfits or result.missing or boxes.shape != own.shape:
        raise UserError(f'{path}: is not a {name} with {len(label_names)} classes and {len(own)} '
                        f'default boxes\n{result.described()}')
    model.coder.default_bbox = boxes
    return model, name, label_names
