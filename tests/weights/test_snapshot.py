"""The conversion of a snapshot_iter_N of train.py to a model."""
import json
import shutil

import evaluate
import train
from multibox.errors import UserError
from multibox.files import save_npz
from multibox.networks import make_detector
from multibox.training import TrainChain, halve, make_optimizer
from multibox.weights import load_model, save_model, start
from multibox.weights.__main__ import main

import chainer
import numpy as np
import pytest

CLASSES = {'boat', 'car', 'fish', 'flower', 'house', 'tree'}
FAST = ['--model', 'slim300', '--batchsize', '2', '--loader-processes', '0', '--log-interval', '1',
        '--cuts', '--iteration', '3', '--snapshot-interval', '2', '--eval-interval', '3']


@pytest.fixture(scope='module')
def out(data, tmp_path_factory):
    """The folder of a run of three iterations."""
    out = tmp_path_factory.mktemp('run') / 'out'
    train.main([*FAST, '--data', str(data), '--out', str(out)])
    return out


@pytest.fixture
def alone(out, tmp_path):
    """A snapshot without settings.json."""
    shutil.copy(out / 'snapshot_iter_3', tmp_path)
    return tmp_path / 'snapshot_iter_3'


def convert(source, to, *flags):
    main(['convert', str(source), '--out', str(to), *flags])


def arrays(path):
    with np.load(path) as archive:
        return dict(archive)


def test_the_last_snapshot_is_the_model_of_the_run(out, tmp_path, capsys):
    convert(out / 'snapshot_iter_3', tmp_path / 'model.npz')
    assert 'matched    74 of 74 parameters\nleft over  none' in capsys.readouterr()[0]
    expected, found = arrays(out / 'model.npz'), arrays(tmp_path / 'model.npz')
    assert found.keys() == expected.keys()
    # A snapshot was not evaluated by itself, so the threshold of the run is unknown to it.
    assert {**json.loads(expected.pop('multibox').item()), 'threshold': None} == json.loads(
        found['multibox'].item())
    for name, array in expected.items():
        assert found[name].dtype == array.dtype
        np.testing.assert_array_equal(found[name], array, err_msg=name)


def test_the_model_of_an_earlier_snapshot_is_evaluated(out, data, tmp_path):
    convert(out / 'snapshot_iter_2', tmp_path / 'model.npz')
    _, name, label_names = load_model(tmp_path / 'model.npz')
    assert name == 'slim300' and set(label_names) == CLASSES
    evaluate.main(['--model', str(tmp_path / 'model.npz'), '--data', str(data),
                   '--out', str(tmp_path / 'evaluation')])
    assert 0 <= json.loads((tmp_path / 'evaluation/metrics.json').read_text())['map'] <= 1


def test_a_snapshot_starts_a_network(out):
    model = make_detector('slim300', 6)
    said = start(model, 'slim300', (), str(out / 'snapshot_iter_3'))
    assert '74 of 74 parameters taken; not taken: none' in said
    np.testing.assert_array_equal(model.multibox.conf[0].W.array,
                                  arrays(out / 'model.npz')['multibox/conf/0/W'])


def test_without_settings_the_network_and_its_classes_are_asked_for(alone, tmp_path):
    with pytest.raises(UserError, match=r'no settings\.json beside it names the network; give --m'):
        convert(alone, tmp_path / 'model.npz')
    with pytest.raises(UserError, match=r'has 6 classes, and no .* names them; give --classes'):
        convert(alone, tmp_path / 'model.npz', '--model', 'slim300')
    with pytest.raises(UserError, match=r'--classes voc: 20 classes, and .* has 6'):
        convert(alone, tmp_path / 'model.npz', '--model', 'slim300', '--classes', 'voc')
    (tmp_path / 'names.txt').write_text('a\nb\nc\nd\ne\nf\n')
    convert(alone, tmp_path / 'model.npz', '--model', 'slim300',
            '--classes', str(tmp_path / 'names.txt'))
    assert load_model(tmp_path / 'model.npz')[2] == tuple('abcdef')


@pytest.mark.parametrize('settings', ['[]', '{"model": 3}', 'no json'])
def test_settings_of_another_kind_count_as_none(alone, tmp_path, settings):
    alone.with_name('settings.json').write_text(settings)
    with pytest.raises(UserError, match='give --model'):
        convert(alone, tmp_path / 'model.npz')


def test_another_architecture_is_refused(out, tmp_path):
    with pytest.raises(UserError, match='does not fit a ssd300; is --model right'):
        convert(out / 'snapshot_iter_3', tmp_path / 'model.npz', '--model', 'ssd300')


def test_a_reused_network_gives_its_default_boxes(out, alone, tmp_path):
    model, _, label_names = load_model(out / 'model.npz')
    model.coder.default_bbox = model.coder.default_bbox.clip(0, 300)
    settings = json.loads((out / 'settings.json').read_text())
    alone.with_name('settings.json').write_text(json.dumps(
        {**settings, 'reuse': str(tmp_path / 'first.npz')}))
    with pytest.raises(UserError, match=r'began with --reuse .*first\.npz, and has the default'):
        convert(alone, tmp_path / 'model.npz')
    save_model(tmp_path / 'first.npz', model, 'slim300', label_names)
    convert(alone, tmp_path / 'model.npz')
    np.testing.assert_array_equal(load_model(tmp_path / 'model.npz')[0].coder.default_bbox,
                                  model.coder.default_bbox)


@pytest.mark.parametrize('precision', ['float16', 'bfloat16'])
def test_a_run_in_16_bits_gives_its_float32_copies(precision, tmp_path):
    if precision == 'bfloat16':
        pytest.importorskip('ml_dtypes')
    model = make_detector('slim300', 2)
    W = model.multibox.conf[0].W.array.copy()
    halve(model, precision)
    chain = TrainChain(model)
    optimizer = make_optimizer('momentum_sgd', chain, 1e-3, 0)
    saved = chainer.serializers.DictionarySerializer()
    chain.serialize(saved['updater']['model:main'])
    optimizer.serialize(saved['updater']['optimizer:main'])
    name = 'updater/optimizer:main/model/multibox/conf/0/W/weight'
    assert saved.target[name].dtype == np.float32 and not (saved.target[name] == W).all()
    saved.target[name] = W
    np.savez(tmp_path / 'snapshot.npz', **{
        key: array for key, array in saved.target.items() if array.dtype != object})
    (tmp_path / 'snapshot.npz').rename(tmp_path / 'snapshot_iter_1')
    convert(tmp_path / 'snapshot_iter_1', tmp_path / 'model.npz', '--model', 'slim300',
            '--classes', '2')
    np.testing.assert_array_equal(load_model(tmp_path / 'model.npz')[0].multibox.conf[0].W.array, W)


def test_a_damaged_snapshot_is_named(out, tmp_path):
    path = tmp_path / 'snapshot_iter_3'
    path.write_bytes((out / 'snapshot_iter_3').read_bytes()[:10000])
    with pytest.raises(UserError, match=r'snapshot_iter_3: not a readable \.npz file'):
        convert(path, tmp_path / 'model.npz')


def test_a_snapshot_of_something_else_is_refused(tmp_path):
    save_npz(tmp_path / 'snapshot_iter_7', chainer.links.Linear(2, 3))
    with pytest.raises(UserError, match='holds no network; give a snapshot that train'):
        convert(tmp_path / 'snapshot_iter_7', tmp_path / 'model.npz')
