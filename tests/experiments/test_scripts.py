"""The experiments' own arithmetic, on small inputs."""
import importlib
import json
import pathlib

from experiments.formulations import matching, one_batch
from experiments.gpu import convolution as gpu_convolution
from experiments.scaling import measure, model
from experiments.speed import formulations as formulations_speed
from experiments.speed import loader
from experiments.speed import loss as loss_speed
from experiments.speed.paths import ChainerCV, Multibox
from experiments.timing.arrays import random_case
from multibox.data import load_data
from multibox.data.synthetic import draw_set
from multibox.losses import LOSSES
from multibox.networks import make_detector

import numpy as np
import pytest
from chainercv.datasets.voc import voc_utils
from PIL import Image


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp('drawn') / 'set'
    draw_set(folder, n_train=3, n_test=1)
    return load_data(folder)


def test_disagreements_of_the_rules_are_counted():
    index = {**dict.fromkeys(matching.RULES, np.array([1, -1, -1])),
             'bipartite': np.array([0, 1, -1])}
    same = dict.fromkeys(matching.RULES, np.array([0, 1, -1]))
    totals = matching.count([(2, index), (2, same)])
    others = set(matching.RULES) - {'bipartite'}
    assert totals['positives'] == {'bipartite': 4, **dict.fromkeys(others, 3)}
    assert totals['objects_without_a_box'] == {'bipartite': 0, **dict.fromkeys(others, 1)}
    assert totals['disagreements']['bipartite, forced'] == {'images': 1, 'boxes': 2}
    assert totals['disagreements']['forced, forced_above'] == {'images': 0, 'boxes': 0}


@pytest.mark.parametrize('name', ['chainercv', 'super_gradients'])
def test_what_a_loss_uses_is_read_off_its_gradient(data, name):
    model = make_detector('slim300', len(data.label_names))
    numbers, imgs, labels, used = one_batch.measure(LOSSES[name], model, data.train, range(3), 0)
    assert imgs.shape == (3, 3, 300, 300) and used.shape == labels.shape == (3, 8732)
    by_image = (labels > 0).sum(axis=1)
    assert numbers['matched'] == numbers['positives'] == by_image.sum()
    assert numbers['negatives_by_image'] == (3 * by_image).tolist()
    weights = 1 / (3 * by_image) if name == 'super_gradients' else 1 / by_image.sum()
    np.testing.assert_allclose(
        numbers['weight_of_a_positive'], [np.min(weights), np.max(weights)], rtol=1e-3)
    assert numbers['loss'] == pytest.approx(numbers['loc'] + numbers['conf'])
    assert numbers['gradient_norm'] > 0


def test_the_picture_shows_each_set_of_mined_boxes_once(tmp_path):
    mined = {name: np.zeros((2, 4), bool) for name in ('one', 'other', 'third')}
    mined['third'][1, 2] = True
    default_bbox = np.tile([50., 50., 20., 20.], (4, 1))
    path = pathlib.Path(tmp_path) / 'mined.png'
    one_batch.draw_mined(path, np.zeros((2, 3, 100, 100), 'f'), mined, default_bbox)
    with Image.open(path) as picture:
        assert picture.width / picture.height == pytest.approx(2 * 4.2 / 4.9, rel=.01)


def test_a_ring_of_two_moves_the_gradients_once_each_way():
    assert model.exchange_seconds(1, 8e9, 4e9, 1) == 0
    assert model.exchange_seconds(2, 8e9, 4e9, 0) == pytest.approx(2)
    assert model.exchange_seconds(4, 8e9, 4e9, .1) == pytest.approx(2 * 3 * (.5 + .1))


def test_double_buffering_hides_the_shorter_of_the_two():
    assert model.efficiency(8, compute=3, exchange=1, double_buffering=False) == .75
    assert model.efficiency(8, compute=3, exchange=1, double_buffering=True) == 1
    assert model.efficiency(8, compute=1, exchange=4, double_buffering=True) == .25


def test_overlap_is_the_share_of_the_exchange_that_took_no_time():
    plain = {'step_seconds': 5, 'exchange_seconds': 2}
    assert measure.overlap(plain, {'step_seconds': 3}) == 1
    assert measure.overlap(plain, {'step_seconds': 4}) == .5


def test_measurements_are_summed_up_by_their_medians():
    runs = [{'images_per_second': speed, 'step_seconds': 1} for speed in (3, 9, 4)]
    assert measure.summary(runs) == {
        'images_per_second': 4, 'step_seconds': 1, 'images_per_second_range': [3, 9]}


def test_the_losses_are_timed_beside_each_other(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(loss_speed, 'CASES', {'tiny': (2, 20, 3, .2), 'full': (1, 20, 3, 1)})
    monkeypatch.setattr(loss_speed, 'torch_losses', lambda: (None, {}))
    loss_speed.main(['--repeat', '2', '--out', str(tmp_path / 'loss.json')])
    printed = capsys.readouterr().out
    assert 'not installed, so left out: torch\n' in printed and 'full: peak memory' in printed
    results = json.loads((tmp_path / 'loss.json').read_text())['results']
    assert results['full']['positives'] == 20
    assert set(results['tiny']['times_ours']) == {'chainercv', 'one copy'}
    for result in results.values():
        assert [len(seconds) for seconds in result['seconds'].values()] == [2, 2, 2]
        assert result['peak_memory_in_logits']['ours'] > 1
    with Image.open(tmp_path / 'loss.png') as picture:
        assert min(picture.size) > 200


def test_every_formulation_is_timed_beside_the_original(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(formulations_speed, 'SHAPE', (2, 20, 3, .2))
    formulations_speed.main(['--repeat', '2', '--out', str(tmp_path / 'formulations.json')])
    assert 'original' in capsys.readouterr().out
    results = json.loads((tmp_path / 'formulations.json').read_text())['results']
    assert set(results['times_chainercv']) == {'original', *LOSSES}
    assert all(len(seconds) == 2 for seconds in results['seconds'].values())


@pytest.mark.parametrize('name', ['ssd.pytorch', 'super-gradients', 'notebook', 'torchvision'])
def test_what_is_timed_against_computes_the_published_loss(name):
    torch = pytest.importorskip('torch')
    if name == 'torchvision':
        pytest.importorskip('torchvision')
    from experiments.speed import torch_losses
    case = random_case(3, 60, 5, .1)
    formulation = {'torchvision': 'chainercv'}.get(name, name.replace('.', '_').replace('-', '_'))
    mb_locs, mb_confs, gt_mb_locs, gt_mb_labels = map(torch.from_numpy, case)
    theirs = torch_losses.LOSSES[name](mb_locs, mb_confs, gt_mb_locs, gt_mb_labels.long())
    ours = LOSSES[formulation].multibox_loss(*case, 3)
    for term, own in zip(theirs, ours):
        assert term.item() == pytest.approx(float(own.array), rel=1e-5)


SCRIPTS = sorted(pathlib.Path(__file__).parents[2].glob('experiments/*/*.py'))


@pytest.mark.parametrize('path', SCRIPTS, ids=lambda path: '.'.join(path.parts[-2:])[:-3])
def test_a_script_finds_what_it_imports(path):
    if path.stem.startswith('torch_'):
        pytest.importorskip('torch')
    importlib.import_module('.'.join(path.with_suffix('').parts[-3:]))


def test_both_loaders_make_the_same_examples(data, monkeypatch):
    names = voc_utils.voc_bbox_label_names
    monkeypatch.setattr(voc_utils, 'voc_bbox_label_names', names)  # put back at the end
    model = make_detector('slim300', len(data.label_names))
    examples = loader.comparable(data)
    paths = {'chainercv': ChainerCV(examples, data.label_names, model),
             'ours': Multibox(examples, model)}
    result = loader.measure(paths, 2, repeat=1)
    assert result['ours']['ms an image'].keys() == {
        'decode', 'draw', 'boxes', 'render', 'subtract mean', 'encode'}
    assert loader.compare(paths, 2, repeat=2)['other draws or labels'] == 0


def test_the_convolutions_of_a_network_are_counted():
    found = gpu_convolution.layers('slim300', '@numpy')
    assert sum(found.values()) == 22
    assert found[(128, 19, 19), (126, 128, 3, 3), 1, 1, 1, False] == 1
    assert gpu_convolution.out_size((32, 75, 75), (64, 32, 3, 3), 2, 1, 1) == [38, 38]


def test_a_network_is_the_sum_of_its_layers_of_those_who_ran_all():
    def layer(count, **seconds):
        return {'count': count, 'flop': 3e12, 'seconds': seconds,
                'launch': dict.fromkeys(seconds, .5)}
    found = gpu_convolution.totals([layer(1, a=[1., 2.], b=[3., 3.], c=[1., 1.]),
                                    layer(2, a=[2., 2.], b=[1., 4.])])
    assert found.keys() == {'a', 'b'}
    assert found['a']['seconds'] == [5, 6] and found['b']['seconds'] == [5, 11]
    assert found['a']['tflop_per_second'] == pytest.approx(9 / 5.5)
    assert found['a']['times faster than']['b'] == {'median': pytest.approx((1 + 11 / 6) / 2),
                                                    'min': 1, 'max': pytest.approx(11 / 6)}
    assert found['a']['launch'] == 1.5
