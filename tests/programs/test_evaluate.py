"""evaluate.py on a stored network: scores, curves, classes, processes."""
import itertools
import json
import shutil

import evaluate
from multibox.data import load_data, relabel
from multibox.data.synthetic import draw_set
from multibox.errors import UserError
from multibox.evaluation import precision_recall, score, threshold_curve
from multibox.locks import Lock
from multibox.networks import make_detector
from multibox.report import results
from multibox.weights import save_model
from tests.support import mpi

import numpy as np
import pytest
from chainercv.evaluations import eval_detection_voc
from PIL import Image

NAMES = ('boat', 'car', 'fish', 'flower', 'house', 'tree')


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp('drawn') / 'set'
    draw_set(folder, n_train=1, n_test=3)
    return folder


def store(path, names, threshold=None):
    """Save an untrained network with few detections. Drawing many of them would take time."""
    np.random.seed(0)
    model = make_detector('slim300', len(names))
    for conv in model.multibox.conf:
        conv.W.array *= 0.1
        conv.b.array.reshape(-1, len(names) + 1)[:, 0] = 6
    save_model(path, model, 'slim300', names, threshold)
    return path


@pytest.fixture(scope='module')
def out(data, tmp_path_factory):
    model = store(tmp_path_factory.mktemp('model') / 'model.npz', NAMES)
    evaluate.main(['--model', str(model), '--data', str(data), '--batchsize', '2'])
    return model.parent / 'evaluation'


def test_metrics_hold_both_rules_for_every_class(out):
    metrics = json.loads((out / 'metrics.json').read_text())
    assert set(metrics['ap']) == set(metrics['ap_area']) == set(NAMES)
    assert 0 <= metrics['map'] <= 1 and 0 <= metrics['map_area'] <= 1
    assert metrics['iteration'] is None and metrics['settings']['batchsize'] == 2


@pytest.mark.parametrize('name', ['precision_recall.png', 'detections.png'])
def test_pictures_are_left(out, name):
    with Image.open(out / name) as picture:
        assert min(picture.size) > 200


def test_everything_is_on_one_page(out):
    report = (out / 'report.html').read_text(encoding='utf-8')
    assert '>Missed objects<' in report and 'Curves of the training' not in report
    assert '>Precision and recall<' in report and 'model.npz on ' in report


def test_cocos_score_is_always_there(out):
    coco = json.loads((out / 'metrics.json').read_text())['coco']
    assert 0 <= coco['map'] <= coco['map_50'] <= 1 and set(coco['ap']) == set(NAMES)


def test_commands_with_the_old_flag_of_cocos_score_are_read():
    assert evaluate.parse_args(['--model', 'x', '--coco', '--submission']).coco


def test_a_folder_with_test_images_alone_is_enough(out, data, tmp_path):
    folder = shutil.copytree(data, tmp_path / 'test alone')
    for name in ('trainval', 'train', 'val'):
        (folder / f'ImageSets/Main/{name}.txt').unlink(missing_ok=True)
    evaluate.main(['--model', str(out.parent / 'model.npz'), '--data', str(folder), '--out',
                   str(tmp_path / 'out')])
    ours, expected = (json.loads((path / 'metrics.json').read_text())['ap']
                      for path in (tmp_path / 'out', out))
    assert ours == pytest.approx(expected)


@mpi.needs_mpiexec
def test_two_processes_find_the_same(out, data):
    result = mpi.run(2, mpi.ROOT / 'evaluate.py', '--model', out.parent / 'model.npz', '--data',
                     data, '--out', out / 'two')
    assert result.returncode == 0, result.stderr
    ours, expected = (json.loads((folder / 'metrics.json').read_text())
                      for folder in (out / 'two', out))
    for name in ('ap', 'ap_area'):
        assert ours[name] == pytest.approx(expected[name], abs=1e-4)
    assert '2 processes' in (out / 'two' / 'report.html').read_text(encoding='utf-8')


@pytest.fixture
def thresholds(monkeypatch, detections):
    """Let evaluate.py take stored detections. Returns the list of the networks' thresholds."""
    called_with = []

    def detect(model, dataset, *_):
        called_with.append((model.score_thresh, model.nms_thresh))
        return [part[:len(dataset)] for part in detections]
    monkeypatch.setattr(evaluate, 'detect', detect)
    return called_with


def test_the_written_score_is_chainercvs_at_the_thresholds_for_scores(
        out, data, thresholds, detections, tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr(results, 'draw_detections', lambda *args, **_: drawn.extend(args[2:4]))
    evaluate.main(['--model', str(out.parent / 'model.npz'), '--data', str(data), '--out',
                   str(tmp_path)])
    assert thresholds == [(.01, .45)]
    metrics = json.loads((tmp_path / 'metrics.json').read_text())
    for key, use_07_metric in (('', True), ('_area', False)):
        expected = eval_detection_voc(*(part[:3] for part in detections),
                                      use_07_metric=use_07_metric)
        assert metrics[f'map{key}'] == pytest.approx(expected['map'])
        assert metrics[f'ap{key}']['tree'] == pytest.approx(expected['ap'][NAMES.index('tree')])
    assert metrics['map'] != pytest.approx(metrics['map_area'])
    for shown, stored in zip(itertools.chain(*drawn), detections):
        np.testing.assert_array_equal(shown[1], stored[1])


def test_counts_use_the_threshold_of_the_weights(data, thresholds, tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr(results, 'draw_detections', lambda *_, min_score, **__: drawn.append(
        min_score))
    model = store(tmp_path / 'model.npz', NAMES, threshold=.42)
    evaluate.main(['--model', str(model), '--data', str(data)])
    metrics = json.loads((tmp_path / 'evaluation/metrics.json').read_text())
    assert (metrics['threshold'], metrics['threshold_from']) == (
        .42, 'the threshold of the weights')
    page = (tmp_path / 'evaluation/report.html').read_text(encoding='utf-8')
    assert 'at least 0.42, which is\nthe threshold of the weights' in page and drawn == [.42]


def test_weights_without_a_threshold_are_counted_at_that_of_the_best_f1(
        out, data, thresholds, detections, tmp_path, capsys):
    evaluate.main(['--model', str(out.parent / 'model.npz'), '--data', str(data), '--out',
                   str(tmp_path)])
    metrics = json.loads((tmp_path / 'metrics.json').read_text())
    assert metrics['threshold'] == threshold_curve([part[:3] for part in detections]).best
    assert metrics['threshold_from'] == 'the threshold of the best F1 on the test images'
    learning = metrics['learning']
    assert learning['conf_loss'] is None and 0 <= learning['noise'] <= 1
    assert capsys.readouterr().out.count(learning['findings'][0]) == 1


def test_a_closed_terminal_costs_no_result(out, data, thresholds, monkeypatch, tmp_path):
    def broken(_):
        raise BrokenPipeError
    monkeypatch.setattr(results, '_print_scores', broken)
    with pytest.raises(BrokenPipeError):
        evaluate.main(['--model', str(out.parent / 'model.npz'), '--data', str(data), '--out',
                       str(tmp_path)])
    assert (tmp_path / 'report.html').exists()


def test_a_folder_that_cannot_be_made_is_named_before_anything_is_detected(out, data, thresholds):
    with pytest.raises(UserError, match=r'metrics\.json/out: cannot be made'):
        evaluate.main(['--model', str(out.parent / 'model.npz'), '--data', str(data), '--out',
                       str(out / 'metrics.json/out')])
    assert thresholds == []


@pytest.mark.parametrize('files, named', [
    ({'report.html': 'precious'}, 'holds report.html, which would be overwritten'),
    ({'metrics.json': '{}', 'detections.png': ''}, 'holds metrics.json, detections.png, which'),
    ({'metrics.json': '{"map": 1, "iteration": 9, "settings": {}}'}, 'holds metrics.json, which'),
    ({'settings.json': '{}'}, 'holds a run of train.py'),
    ({'snapshot_iter_3': ''}, 'holds a run of train.py'),
], ids=['file', 'files', 'metrics of a run', 'settings of a run', 'snapshot'])
def test_files_of_others_are_not_overwritten(out, data, thresholds, tmp_path, files, named):
    for name, content in files.items():
        (tmp_path / name).write_text(content)
    with pytest.raises(UserError, match=f'--out {tmp_path}: {named}'):
        evaluate.main(['--model', str(out.parent / 'model.npz'), '--data', str(data), '--out',
                       str(tmp_path)])
    assert thresholds == []
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == files


def test_files_of_an_earlier_evaluation_are_replaced(out, data, thresholds, tmp_path):
    for name in evaluate.RESULTS:
        shutil.copy(out / name, tmp_path)
    (tmp_path / 'report.html').write_text('old')
    evaluate.main(['--model', str(out.parent / 'model.npz'), '--data', str(data), '--out',
                   str(tmp_path)])
    assert (tmp_path / 'report.html').read_text() != 'old'
    assert {path.name for path in tmp_path.iterdir()} == {*evaluate.RESULTS}


def test_a_submission_in_the_folder_is_not_overwritten(out, thresholds, tmp_path):
    path = tmp_path / 'results/VOC2012/Main/comp4_det_test_cat.txt'
    path.parent.mkdir(parents=True)
    path.write_text('precious')
    with pytest.raises(UserError, match=r'holds results/VOC2012/Main/comp4_det_test_cat\.txt'):
        evaluate.main(['--model', str(out.parent / 'model.npz'), '--submission', '--out',
                       str(tmp_path)])
    assert path.read_text() == 'precious'


def test_two_at_once_in_one_folder_are_refused(out, data, thresholds, tmp_path):
    with Lock(tmp_path), pytest.raises(UserError, match='is writing into this folder'):
        evaluate.main(['--model', str(out.parent / 'model.npz'), '--data', str(data), '--out',
                       str(tmp_path)])
    assert thresholds == []


def test_notes_on_the_data_come_before_the_score(out, data, thresholds, tmp_path, capsys):
    folder = shutil.copytree(data, tmp_path / 'unnamed')
    (folder / 'labels.txt').unlink()
    evaluate.main(['--model', str(out.parent / 'model.npz'), '--data', str(folder), '--out',
                   str(tmp_path / 'out')])
    assert 'no labels.txt; found 6 classes' in capsys.readouterr().out.splitlines()[0]


def random_detections(rng, n_image):
    """Random objects and detections. About half of the detections lie on an object."""
    images = []
    for _ in range(n_image):
        n = rng.randint(1, 6)
        corner = rng.uniform(0, 30, (n, 2))
        truth = np.hstack((corner, corner + rng.uniform(10, 30, (n, 2)))).astype('f')
        label = rng.randint(0, 3, n).astype('i')
        found = rng.randint(0, n, 6)
        images.append((truth[found] + rng.normal(scale=3, size=(6, 4)).astype('f'), label[found],
                       rng.uniform(size=6).astype('f'), truth, label, rng.uniform(size=n) < .2))
    return [list(part) for part in zip(*images)]


@pytest.mark.parametrize('use_07_metric', [True, False], ids=['11-point', 'area'])
@pytest.mark.parametrize('seed', range(5))
def test_scores_are_those_of_chainercvs_evaluator(seed, use_07_metric):
    images = random_detections(np.random.RandomState(seed), 40)
    expected = eval_detection_voc(*images, use_07_metric=use_07_metric)
    ours = score(precision_recall(images, ['a', 'b', 'c']), use_07_metric)
    np.testing.assert_allclose(list(ours['ap'].values()), expected['ap'], rtol=1e-12)
    assert ours['map'] == pytest.approx(expected['map']) and 0 < ours['map'] < 1


@pytest.mark.parametrize('use_07_metric', [True, False], ids=['11-point', 'area'])
def test_scores_of_stored_detections_are_those_of_chainercvs_evaluator(detections, use_07_metric):
    expected = eval_detection_voc(*detections, use_07_metric=use_07_metric)
    ours = score(precision_recall(detections, NAMES), use_07_metric)
    np.testing.assert_allclose(list(ours['ap'].values()), expected['ap'], rtol=1e-12)
    assert 0.6 < ours['map'] < 0.8


def test_precision_and_recall_worked_by_hand():
    right, wrong = [10, 10, 50, 50], [60, 60, 90, 90]
    images = [[np.array([right, wrong, right], 'f')], [np.zeros(3, 'i')],
              [np.array([.5, .9, .3], 'f')],
              [np.array([right, [0, 0, 9, 9]], 'f')], [np.zeros(2, 'i')], [np.zeros(2, bool)]]
    curves = precision_recall(images, ['a', 'b'])
    precision, recall = curves['a']  # by falling score: wrong, right, the same object again
    np.testing.assert_allclose(precision, [0, 1 / 2, 1 / 3])
    np.testing.assert_allclose(recall, [0, 1 / 2, 1 / 2])
    assert curves['b'] is None


def test_classes_are_numbered_as_the_network_does(data):
    dataset = load_data(data).test
    names = ('tree', 'house', 'plane', 'flower', 'fish', 'car', 'boat')
    for ours, theirs in zip(relabel(dataset, NAMES, names, 'x').examples, dataset.examples):
        assert [names[n] for n in ours.label] == [NAMES[n] for n in theirs.label]


def test_a_class_the_network_does_not_know_is_named(data, tmp_path):
    model = store(tmp_path / 'model.npz', ('boat', 'car', 'tree'))
    with pytest.raises(UserError, match=r'npz: does not know fish, flower, house, only boat, car'):
        evaluate.main(['--model', str(model), '--data', str(data)])


@pytest.mark.parametrize('flags, match', [
    (['--model', 'nowhere.npz'], r'nowhere\.npz: '),
    (['--model', 'x', '--batchsize', '0'], 'from 1')])
def test_a_mistake_is_named(flags, match):
    with pytest.raises(UserError, match=match):
        evaluate.main(flags)
