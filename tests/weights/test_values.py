"""Values in weights that would give a wrong result without an error."""
import json

from multibox.errors import UserError
from multibox.networks import make_detector
from multibox.weights import load_model, save_model, start, values
from multibox.weights.__main__ import main
from multibox.weights.model_file import BOXES, DESCRIPTION
from tests.support.torch_files import write

import numpy as np
import pytest

W, VARIANCE = 'multibox/conf/1/W', 'extractor/stem/bn/avg_var'


@pytest.fixture(scope='module')
def arrays(tmp_path_factory):
    """The arrays of a model.npz of slim300 with the classes a and b."""
    path = tmp_path_factory.mktemp('model') / 'model.npz'
    save_model(path, make_detector('slim300', 2), 'slim300', ('a', 'b'))
    with np.load(path) as archive:
        return dict(archive)


@pytest.fixture
def changed(arrays, tmp_path):
    """Function that writes a model.npz with one array changed, and returns its path."""
    def write_changed(name, array):
        np.savez(tmp_path / 'model.npz', **{**arrays, name: array})
        return tmp_path / 'model.npz'
    return write_changed


def one(array, value):
    array = array.copy()
    array.flat[-1] = value
    return array


BAD = {'nan': lambda a: one(a, np.nan), 'infinity': lambda a: one(a, -np.inf),
       'no weight is above': lambda a: a * np.float32(1e30), 'type bool': lambda a: a.astype(bool),
       'type int8': lambda a: a.astype('i1')}


@pytest.mark.parametrize('reason', BAD)
def test_weights_that_are_none_are_refused_wherever_they_are_read(changed, arrays, tmp_path,
                                                                  reason):
    path = changed(W, BAD[reason](arrays[W] + 1))
    for load in (load_model, lambda path: start(make_detector('slim300', 2), 'slim300', ('a', 'b'),
                                                str(path)),
                 lambda path: start(make_detector('slim300', 2), 'slim300', ('a', 'b'), reuse=path),
                 lambda path: main(['export', str(path), '--out', str(tmp_path / 'x.onnx')])):
        with pytest.raises(UserError, match=rf'model\.npz: {W} .*{reason}.*; give other weights'):
            load(path)


@pytest.mark.parametrize('reason', BAD)
def test_weights_that_are_none_are_not_converted(arrays, tmp_path, reason):
    snapshot = {f'updater/model:main/model/{name}': array for name, array in arrays.items()
                if name not in (BOXES, DESCRIPTION)}
    snapshot[f'updater/model:main/model/{W}'] = BAD[reason](arrays[W] + 1)
    np.savez(tmp_path / 'x.npz', **snapshot)
    (tmp_path / 'x.npz').rename(tmp_path / 'snapshot_iter_1')
    with pytest.raises(UserError, match=f'snapshot_iter_1: {W} .*{reason}'):
        main(['convert', str(tmp_path / 'snapshot_iter_1'), '--model', 'slim300', '--classes', '2',
              '--out', str(tmp_path / 'model.npz')])
    assert not (tmp_path / 'model.npz').exists()


def test_integers_of_a_pth_are_no_weights(tmp_path):
    write(tmp_path / 'x.pth', {'extractor.to5.conv.W': np.zeros(3, 'f'),
                               'extractor/to5/conv/W': np.ones((128, 128, 3, 3), 'i1')})
    with pytest.raises(UserError, match='extractor/to5/conv/W is of the type int8'):
        start(make_detector('slim300', 1), 'slim300', ('a',), str(tmp_path / 'x.pth'))


@pytest.mark.parametrize('value', [-1, np.nan, 1e30])
def test_a_variance_that_is_none_is_refused(changed, arrays, value):
    with pytest.raises(UserError, match=f'{VARIANCE} holds'):
        load_model(changed(VARIANCE, one(arrays[VARIANCE], value)))


@pytest.mark.parametrize('dtype', ['f2', 'f4', 'f8', '>f4'])
def test_floats_of_any_size_are_weights(changed, arrays, dtype):
    model = load_model(changed(W, arrays[W].astype(dtype)))[0]
    np.testing.assert_array_equal(model.multibox.conf[1].W.array,
                                  arrays[W].astype(dtype).astype('f'))


@pytest.mark.parametrize('change, reason', [
    (lambda a: one(a, np.nan), 'nan or infinity'), (lambda a: one(a, np.inf), 'nan or infinity'),
    (lambda a: one(a, 1e30), 'beyond ten times'), (lambda a: one(a, 0), 'zero or below'),
    (lambda a: one(a, -3), 'zero or below'), (lambda a: a.astype(int), 'of the type int64'),
    (lambda a: a[:-1], '8732 default boxes'), (lambda a: a.T, '8732 default boxes')])
def test_default_boxes_that_cannot_be_matched_are_refused(changed, arrays, change, reason):
    with pytest.raises(UserError, match=rf'model\.npz: .*{reason}'):
        load_model(changed(BOXES, change(arrays[BOXES])))


def described(**entries):
    return np.array(json.dumps({'model': 'slim300', 'label_names': ['a', 'b'], **entries}))


@pytest.mark.parametrize('names, reason', [
    (['a', 3], 'class name 3 is no text'), (['a', None], 'class name None'),
    (['a', 'a'], "two of its classes have the name 'a'"), (['a', 'b' * 201], r'\.\.\. is no text'),
    (['a', '\ud800'], r"'\\ud800' is no text"), (['a', ''], "'' is no text"), ([], 'no list of 1'),
    ('ab', 'no list of 1'), ({'a': 1, 'b': 2}, 'no list of 1'), (['a', ['b']], 'is no text')])
def test_class_names_that_are_none_are_refused(changed, names, reason):
    with pytest.raises(UserError, match=reason) as refused:
        load_model(changed(DESCRIPTION, described(label_names=names)))
    assert len(str(refused.value)) < 400


@pytest.mark.parametrize('n, reason', [(3000, 'is of 3,000 classes'), (30_000, 'no list of 1 to')])
def test_more_classes_than_the_arrays_hold_build_no_network(changed, monkeypatch, n, reason):
    monkeypatch.setattr('multibox.weights.model_file.make_detector', None)
    with pytest.raises(UserError, match=reason):
        load_model(changed(DESCRIPTION, described(label_names=list(map(str, range(n))))))


def test_heads_of_many_classes_without_their_arrays_build_no_network(tmp_path, monkeypatch):
    np.savez_compressed(tmp_path / 'x.npz', **{'multibox/loc/0/b': np.zeros(4, 'f'),
                                               'multibox/conf/0/b': np.zeros(3_000_001, 'f')})
    monkeypatch.setattr('multibox.weights.convert.make_detector', None)
    with pytest.raises(UserError, match='is of 3,000,000 classes'):
        main(['convert', str(tmp_path / 'x.npz'), '--out', str(tmp_path / 'y.npz')])


@pytest.mark.parametrize('name', ['slim300', 'lite300', 'ssd300-square'])  # the smallest heads
def test_a_class_adds_so_many_bytes_to_the_heads(name):
    # Of a network of one class, half of the rows of the logits are those of the class.
    heads = make_detector(name, 1).multibox.conf
    assert sum(p.array.size // 2 for p in heads.params()) * 2 >= values.BYTES_PER_CLASS


@pytest.mark.parametrize('text', [
    '[' * 100_000, '{"model": ' * 50_000, 'null', '3', '"slim300"', '{"model": ["slim300"]}',
    '{"model": "slim300"}', '{"model": "vgg", "label_names": ["a"]}', '9' * 5000,
    '{"model": "slim300", "label_names": ["' + 'a' * 5_000_000 + '"]}'],
    ids=['brackets', 'objects', 'null', 'number', 'text', 'list', 'no names', 'unknown', 'digits',
         'long'])
def test_a_description_of_another_kind_is_refused(changed, text):
    with pytest.raises(UserError, match='does not say which network it holds'):
        load_model(changed(DESCRIPTION, np.array(text)))


@pytest.mark.parametrize('array', [np.zeros(3), np.array(3.5), np.zeros((0,))], ids=repr)
def test_a_description_that_is_no_text_is_refused(changed, array):
    with pytest.raises(UserError, match='does not say which network it holds'):
        load_model(changed(DESCRIPTION, array))
