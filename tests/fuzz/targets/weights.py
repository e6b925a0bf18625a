"""Readers of weights."""
import functools
import io
import json
import os
import tempfile

from multibox.networks import MODELS, make_detector
from multibox.training.snapshots import is_finite, resume
from multibox.weights import caffe, load_model, npz, pytorch, snapshot
from tests.fuzz import strategies
from tests.fuzz.targets.target import Target, put
from tests.fuzz.weight_files import MARKER, caffemodel, checkpoint, safetensors
from tests.support import caffe_files, torch_files
from tests.support.malice import Malice

import chainer
import numpy as np

TENSORS = {'vgg.0.weight': np.arange(6, dtype='f').reshape(2, 3), 'vgg.0.bias': np.ones(2, 'f'),
           'loc.0.weight': np.ones((2, 2), 'f2'), 'conf.0.bias': np.arange(3)}
DESCRIPTION = {'model': 'slim300', 'label_names': ['cat', 'dog'], 'threshold': 0.5}
PRIOR = {'min_size': 30., 'max_size': 60., 'aspect_ratio': (2.,), 'flip': True, 'clip': False,
         'variance': caffe_files.VARIANCE, 'step': 8., 'offset': .5}


def _npz(compressed=False, **arrays):
    file = io.BytesIO()
    (np.savez_compressed if compressed else np.savez)(file, **arrays)
    return file.getvalue()


def _arrays(folder, content, read, name):
    found = read(put(folder / name, content))
    assert all(isinstance(key, str) for key in found)
    assert all(array.dtype.kind in 'fiub' for array in found.values())
    assert not os.path.exists(MARKER), 'code of the file was executed'
    return found


@functools.cache
def _model():
    """Arrays of a model.npz; constant weights make a small file."""
    model = make_detector('slim300', 2)
    target = chainer.serializers.DictionarySerializer()
    target.save(model)
    arrays = {name: np.full_like(array, .1) for name, array in target.target.items()}
    return {**arrays, 'default_bbox': model.coder.default_bbox}


def _described(description):
    """A model.npz with the bytes of its description."""
    return _npz(True, **_model(), multibox=np.array(description.decode()))


def _load(folder, content):
    model, name, label_names = load_model(put(folder / 'model.npz', content))
    assert name in MODELS and all(isinstance(label, str) for label in label_names)
    assert len(set(label_names)) == len(label_names)
    assert is_finite(model) and np.isfinite(model.coder.default_bbox).all(), 'not finite'
    return model


def _trainer(out):
    """A trainer as small as possible, with the names of weights that train.py gives them."""
    model = chainer.Chain()
    with model.init_scope():
        model.model = chainer.Chain()
        with model.model.init_scope():
            model.model.a = chainer.links.Linear(3, 2, initialW=.1)
    model.forward = lambda x: chainer.functions.sum(model.model.a(x))
    optimizer = chainer.optimizers.MomentumSGD(lr=.1).setup(model)
    iterator = chainer.iterators.SerialIterator(np.ones((4, 3), 'f'), 2, shuffle=False)
    updater = chainer.training.StandardUpdater(iterator, optimizer)
    return chainer.training.Trainer(updater, (2, 'iteration'), out=str(out))


@functools.cache
def _snapshots():
    with tempfile.TemporaryDirectory() as out:
        trainer = _trainer(out)
        trainer.run()
    file = io.BytesIO()
    chainer.serializers.save_npz(file, trainer, compression=False)
    return [file.getvalue()]


def _resume(folder, content):
    put(folder / 'snapshot_iter_2', content)
    trainer = _trainer(folder)
    iteration = resume(trainer, folder)
    assert type(iteration) is int and iteration >= 0, iteration
    assert is_finite(trainer.updater.get_optimizer('main').target), 'not finite'
    return trainer


def _pth(zipped):
    contents = (TENSORS, {'state_dict': TENSORS, 'epoch': 3}, {'a': Malice(MARKER)},
                {'state_dict': TENSORS, 'b': Malice(MARKER)})
    return [torch_files.dump(content, zipped) for content in contents]


def _safetensors():
    from safetensors.numpy import save
    return [save(TENSORS)]


def _caffemodel():
    arrays = np.ones((4, 2, 1, 1)), np.ones(4)
    heads = b''.join(caffe_files.layer(f'{source}_mbox_{kind}', 'Convolution', *arrays)
                     for source in caffe.SOURCES[:2] for kind in ('loc', 'conf'))
    priors = b''.join(caffe_files.layer(f'{source}_mbox_priorbox', 'PriorBox', prior_box=PRIOR)
                      for source in caffe.SOURCES[:6])
    return [heads + priors, priors, caffe_files.old_layer('conv1_1', np.ones((2, 3, 3, 3)))]


def _caffe(folder, content):
    found = _arrays(folder, content, caffe.read, 'x.caffemodel')
    boxes = caffe.default_bbox(folder / 'x.caffemodel', _slim())
    assert np.isfinite(boxes).all(), 'default boxes are not finite'
    return found


@functools.cache
def _slim():
    return make_detector('slim300', 2)


def _named(read, name):
    return functools.partial(_arrays, read=read, name=name)


TARGETS = {
    'npz': Target(lambda: [_npz(a=np.ones((2, 3), 'f'), b=np.array(3)),
                           _npz(True, conv1_1=np.zeros(9)), _npz(a=np.array([True]))],
                  _named(npz.read, 'x.npz')),
    'model': Target(lambda: [_described(json.dumps(DESCRIPTION).encode())], _load,
                    strategy=strategies.any_json(**DESCRIPTION).map(_described)),
    'snapshot': Target(_snapshots, _named(snapshot.read, 'snapshot_iter_2')),
    'resume': Target(_snapshots, _resume),
    'pth-zip': Target(lambda: _pth(True), _named(pytorch.read, 'x.pth'),
                      strategy=checkpoint(True)),
    'pth-row': Target(lambda: _pth(False), _named(pytorch.read, 'x.pth'),
                      strategy=checkpoint(False)),
    'safetensors': Target(_safetensors, _named(pytorch.read, 'x.safetensors'),
                          strategy=safetensors()),
    'caffemodel': Target(_caffemodel, _caffe, strategy=caffemodel(caffe.SOURCES[:6])),
}
