"""The test set of VOC2012: images without annotations, and files for PASCAL's server."""
import json
import shutil

import evaluate
import train
from multibox.data import load_data, voc2012_test
from multibox.errors import UserError
from multibox.evaluation import write_submission
from multibox.networks import make_detector
from multibox.weights import save_model
from tests.support.voc import VOC2007, VOC2012, stems, write

import numpy as np
import pytest
from chainercv.datasets import voc_bbox_label_names


@pytest.fixture
def devkit(tmp_path):
    write(tmp_path / 'VOC2007', VOC2007)
    write(tmp_path / 'VOC2012', {**VOC2012, 'test': ['12e']})
    return tmp_path


def test_07_leaves_2012_out(devkit):
    data = load_data(devkit, split='07')
    assert stems(data.train) == ['07t', '07v'] and stems(data.test) == ['07e']
    assert data.notes == []


@pytest.mark.parametrize('absent', ['VOC2012', 'VOC2007'])
def test_a_missing_year_is_noted_where_it_changes_the_test_set(devkit, absent):
    shutil.rmtree(devkit / absent)
    notes = load_data(devkit, train=False).notes
    assert notes == [f'{devkit / absent}: not here; going on without it'][absent == 'VOC2012':]


def test_07_plus_plus_12_trains_on_2007_test_and_has_no_test_set_of_its_own(devkit):
    data = load_data(devkit, split='07++12')
    assert stems(data.train) == ['07t', '07v', '07e', '12t', '12v']
    assert len(data.test) == 0
    assert 'evaluate.py --submission' in data.notes[0]


def test_a_run_without_a_test_set_ends_without_a_score(devkit, capsys):
    out = devkit / 'out'
    train.main(['--data', str(devkit), '--split', '07++12', '--model', 'slim300', '--iteration',
                '2', '--batchsize', '2', '--loader-processes', '0', '--cuts', '--out', str(out)])
    assert json.loads((out / 'metrics.json').read_text())['map'] is None
    assert (out / 'model.npz').exists() and (out / 'report.html').exists()
    assert 'trains, but has no score' in capsys.readouterr().out


def test_a_split_of_the_devkit_is_refused_for_another_folder(tmp_path):
    with pytest.raises(UserError, match=r'--split 07: .* is not a VOCdevkit'):
        load_data(write(tmp_path, {'train': ['a'], 'test': ['b']}), split='07')


def test_images_of_2012_test_come_without_objects(devkit):
    dataset = voc2012_test(devkit)
    assert stems(dataset) == ['12e']
    img, bbox, label, difficult = dataset[0]
    assert (img.shape, bbox.shape, label.shape, difficult.shape) == (
        (3, 30, 40), (0, 4), (0,), (0,))
    assert dataset.examples[0].size == (30, 40)


def test_without_its_images_the_archive_is_named(tmp_path):
    with pytest.raises(UserError, match=r'no VOC2012/.*get VOC2012test\.tar'):
        voc2012_test(write(tmp_path / 'VOC2007', VOC2007).parent)


def test_an_image_of_2012_test_that_is_missing_is_named(devkit):
    (devkit / 'VOC2012/JPEGImages/12e.jpg').unlink()
    with pytest.raises(UserError, match=r'12e\.jpg: image file is missing'):
        voc2012_test(devkit)


def test_a_line_is_image_score_and_corners_from_1(tmp_path):
    predictions = ([np.array([[0, 1, 20, 30.5], [2, 3, 4, 5]], 'f'), np.zeros((0, 4), 'f')],
                   [np.array([1, 0]), np.zeros(0, 'i')], [np.array([.25, .5], 'f'), np.zeros(0)])
    paths = [tmp_path / '2008_000001.jpg', tmp_path / '2008_000002.jpg']
    folder = write_submission(tmp_path, paths, predictions, ['cat', 'dog', 'cow'])
    assert folder == tmp_path / 'results/VOC2012/Main'
    texts = {path.name: path.read_text() for path in folder.iterdir()}
    assert texts == {'comp4_det_test_cat.txt': '2008_000001 0.500000 4.00 3.00 6.00 5.00\n',
                     'comp4_det_test_dog.txt': '2008_000001 0.250000 2.00 1.00 31.50 21.00\n',
                     'comp4_det_test_cow.txt': ''}


def test_evaluate_writes_a_file_for_every_class(devkit, capsys, monkeypatch):
    found = [np.array([[0, 1, 20, 30]], 'f')], [np.array([11])], [np.array([.5], 'f')]
    monkeypatch.setattr(evaluate, 'detect', lambda *_: [*found, [], [], []])
    names = tuple(voc_bbox_label_names)
    save_model(devkit / 'model.npz', make_detector('slim300', 20), 'slim300', names)
    evaluate.main(['--model', str(devkit / 'model.npz'), '--data', str(devkit), '--submission',
                   '--out', str(devkit / 'out')])
    files = {path.name for path in (devkit / 'out/results/VOC2012/Main').iterdir()}
    assert files == {f'comp4_det_test_{name}.txt' for name in names}
    assert 'host.robots.ox.ac.uk' in capsys.readouterr().out
    dog = devkit / 'out/results/VOC2012/Main/comp4_det_test_dog.txt'
    assert dog.read_text() == '12e 0.500000 2.00 1.00 31.00 21.00\n'


def test_a_network_of_other_classes_has_nothing_to_submit(devkit):
    save_model(devkit / 'model.npz', make_detector('slim300', 2), 'slim300', ('cat', 'yak'))
    with pytest.raises(UserError, match=r'model\.npz: does not know aeroplane, .* only cat, yak'):
        evaluate.main(['--model', str(devkit / 'model.npz'), '--data', str(devkit),
                       '--submission'])
