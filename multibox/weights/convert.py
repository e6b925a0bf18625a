"""Conversion of weights of other frameworks to a file for evaluate.py, detect.py and train.py."""
import pathlib

from multibox.errors import UserError
from multibox.files import MAX_JSON, open_whole, read_whole
from multibox.networks import MODELS, make_detector
from multibox.weights import caffe, pytorch, snapshot
from multibox.weights.conventions import VGG16, swap_red_and_blue
from multibox.weights.fitting import fill, fit
from multibox.weights.model_file import BOXES, load_model, save_model
from multibox.weights.sources import read, suffix
from multibox.weights.values import (
    check_boxes,
    check_class_count,
    check_label_names,
    check_values,
)

import numpy as np
from chainer.serializers import NpzDeserializer
from chainercv.datasets import coco_bbox_label_names, voc_bbox_label_names

# The order of ChainerCV, of Caffe's label maps and of ssd.pytorch.
LABEL_NAMES = {'voc': voc_bbox_label_names, 'coco': coco_bbox_label_names}
MAX_COUNT = 2 ** 53  # updates that a batch normalisation can have seen


def convert(source: str, name: str | None, out: pathlib.Path, classes: str | None = None,
            bgr: bool = False) -> str:
    """Convert weights to an .npz file of this project.

    A source with heads becomes a model.npz. A source without heads, which is a VGG16, becomes an
    .npz for ``--pretrained``. Architecture and class names of a snapshot are those of the
    settings.json beside it.

    Args:
        source: as for :func:`multibox.weights.read`.
        name: the architecture, a key of ``multibox.MODELS``. None means ssd300; for a file of
            PyTorch it means the architecture that ssd.pytorch builds for this number of classes.
        out: the .npz file to write.
        classes: ``'voc'``, ``'coco'``, the path of a file with one name per line, or the number of
            classes. None means VOC's names, if there are 20 classes.
        bgr: whether a file of PyTorch expects BGR images.

    Returns:
        Lines to print: the parameters that match and those that do not, and the file.

    Raises:
        UserError: an argument does not fit the source, the source cannot be read, or its weights do
            not fit the network; the message then lists names and shapes.
    """
    if out.suffix != '.npz':
        raise UserError(f'--out {out}: must end in .npz; give another name')
    is_pytorch = suffix(source) in pytorch.SUFFIXES
    if bgr and not is_pytorch:
        raise UserError(f'--bgr: is for a .pth only; leave it out for {source}')
    arrays = read(source)
    if BOXES in arrays:
        raise UserError(f'{source}: is a model.npz already; evaluate.py, detect.py and train.py '
                        '--reuse take it as it is')
    if bgr:
        swap_red_and_blue(arrays)
    if not any(array.startswith('multibox/') for array in arrays):
        return _convert_trunk(source, arrays, name or 'ssd300', out, is_pytorch)
    n_class = _count_classes(source, arrays)
    if snapshot.is_snapshot(source):
        name, label_names, boxes = _settings_of_run(source, name, classes, n_class)
    else:
        label_names = _find_label_names(classes, n_class, source)
        name = name or (pytorch.architecture(n_class) if is_pytorch else 'ssd300')
        boxes = None
    model = make_detector(name, n_class)
    counters = _take_counters(source, arrays)
    result = fill(model, arrays, source)
    if result.misfits or result.missing:
        raise _refusal(source, name, result)
    NpzDeserializer(counters, strict=False).load(model)
    if suffix(source) == '.caffemodel':
        boxes = caffe.default_bbox(source, model)
    elif is_pytorch:  # as ssd.pytorch's prior_box.py clips centres and sides
        boxes = model.coder.default_bbox.clip(0, model.insize)
    if boxes is not None:
        check_boxes(source, boxes, model.insize)
        model.coder.default_bbox = boxes
    save_model(out, model, name, label_names)
    return (f'{result.summary()}\n{out}: a {name} for {n_class} classes, {", ".join(label_names)}; '
            'evaluate.py, detect.py and train.py --reuse accept it')


def _settings_of_run(source, name, classes, n_class):
    """Architecture, class names, and default boxes unless they are those of the architecture."""
    settings = snapshot.read_settings(source)
    name = name or settings.get('model')
    if name is None:
        raise UserError(f'{source}: no settings.json beside it names the network; give --model')
    if not isinstance(name, str) or name not in MODELS:
        raise UserError(f'{snapshot.settings_file(source)}: the model {name!r} is unknown; give '
                        '--model')
    names = settings.get('classes')
    if classes is not None:
        names = _find_label_names(classes, n_class, source)
    elif names is not None:
        names = check_label_names(snapshot.settings_file(source), names, 'give --classes')
    if names is None or len(names) != n_class:
        raise UserError(f'{source}: has {n_class} classes, and no settings.json beside it names '
                        'them; give --classes FILE with one name per line')
    reused = settings.get('reuse')
    if reused is None:
        return name, names, None
    if not isinstance(reused, str) or '\0' in reused:
        raise UserError(f'{snapshot.settings_file(source)}: reuse must be the path of a model.npz, '
                        f'got {reused!r}; mend it')
    try:
        return name, names, load_model(reused)[0].coder.default_bbox
    except UserError as error:
        raise UserError(f'{source}: the run began with --reuse {reused}, and has the default boxes '
                        f'of that file; put it back ({error})') from None


def _convert_trunk(source, arrays, name, out, is_pytorch):
    result = fit(make_detector(name, 1), arrays)
    # A file of PyTorch names its network only by its layers, so few of them are a mistake.
    is_whole = not is_pytorch or {f'extractor/{layer}/W' for layer in VGG16} <= {*result.matched}
    if result.misfits or not result.matched or not is_whole:
        raise _refusal(source, name, result)
    check_values(source, {array: arrays[array] for array in result.matched})
    with open_whole(out) as file:
        np.savez(file, **{array: arrays[array] for array in result.matched})
    return f'{result.summary()}\n{out}: a trunk without heads, for train.py --pretrained'


def _refusal(source, name, result):
    return UserError(f'{source}: does not fit a {name}; is --model right?\n{result.details()}')


def _count_classes(source, arrays):
    try:
        n_box = len(arrays['multibox/loc/0/b']) // 4
        n_class = len(arrays['multibox/conf/0/b']) // n_box - 1
    except (KeyError, TypeError, ZeroDivisionError):
        raise UserError(f'{source}: the heads lack the biases that tell how many classes there are'
                        ) from None
    check_class_count(source, arrays, n_class)
    return n_class


def _take_counters(source, arrays):
    """Take the single numbers out of the arrays: the counts of the batch normalisations."""
    counters = {array: arrays.pop(array) for array in [*arrays] if not arrays[array].ndim}
    for name, count in counters.items():
        if name.endswith('/N') and not (
                count.dtype.kind in 'iu' and 0 <= count < MAX_COUNT):
            raise UserError(f'{source}: {name} is {count}, and it counts updates; the file is '
                            'damaged, so give another copy of it')
    return counters


def _find_label_names(classes, n_class, source):
    if classes is None and n_class == len(LABEL_NAMES['voc']):
        classes = 'voc'
    if classes is None:
        raise UserError(f'{source}: has {n_class} classes without names; give --classes FILE with '
                        f'one name per line, or --classes {"coco" if n_class == 80 else n_class}')
    if classes in LABEL_NAMES:
        names = LABEL_NAMES[classes]
    elif classes.isdecimal():
        if classes.lstrip('0') != str(n_class):  # the number may be of any length
            raise UserError(f'--classes {classes}: {classes} classes, and {source} has {n_class}')
        names = tuple(f'class{i}' for i in range(n_class))
    else:
        try:
            lines = read_whole(classes, MAX_JSON).decode().splitlines()
        except (UserError, UnicodeDecodeError) as error:
            raise UserError(f'--classes {classes}: cannot be read ({error})') from None
        names = tuple(line.strip() for line in lines if line.strip())
    if len(set(names)) < len(names):
        raise UserError(f'--classes {classes}: names a class twice; give each name once')
    if len(names) != n_class:
        raise UserError(f'--classes {classes}: {len(names)} classes, and {source} has {n_class}')
    return check_label_names(f'--classes {classes}', names, 'give other names')
