"""A report never costs a run: each part fails alone, and hostile names, images and boxes pass."""
import json

import evaluate
from multibox.canvas import plot
from multibox.data import VOCDataset
from multibox.data.annotations import Example
from multibox.data.gallery import save_pictures
from multibox.drawing import LONGEST, draw_boxes, short_name
from multibox.errors import ending_together
from multibox.evaluation import Learning, detect, examine, precision_recall, score
from multibox.evaluation.mistakes import Match
from multibox.faults import Incomplete
from multibox.report import curves, page, results, write_results
from multibox.report.pictures import SIDE, figure
from tests.programs.test_evaluate import NAMES as CLASSES
from tests.programs.test_evaluate import store
from tests.support.reports import BOX, NAMES, SCRIPT, Detector, make_data, write_log

import cv2
import numpy as np
import pytest
from PIL import Image

LEARNING = Learning(.3, 'that of a test', None, None, 0., 0., None, None, ['a finding'])
SETTINGS = {'iteration': 9, 'model': 'slim300', 'data': None}
FILES = {'metrics.json', 'precision_recall.png', 'detections.png', 'loss.png', 'map.png',
         'report.html'}


def make(folder, data=None, learning=LEARNING, iteration=3):
    """Write the results of a run into a folder; returns the page and the lines about failures."""
    data = data or make_data(folder)
    images, lines = detect(Detector(), data.test), []
    try:
        write_results(folder, data, images, score(precision_recall(images, data.label_names)),
                      learning=learning, iteration=iteration, settings=SETTINGS, seconds=1.,
                      device='cpu', hardware='')
    except Incomplete as error:
        lines = str(error).splitlines()
    return (folder / 'report.html').read_text(encoding='utf-8'), lines


PARTS = {  # the function that fails: (its module, the file or the words that name the part)
    'coco_score': (results, 'rules of COCO'),
    'plot_precision_recall': (results, 'precision_recall.png'),
    'draw_detections': (results, 'detections.png'),
    'plot_curves': (results, 'map.png'),
    'key_figures': (page, 'the key figures'),
    'class_table': (page, 'Average precision by class'),
    'confusion_table': (page, 'Confusion matrix'),
    'threshold_curve': (page, 'precision over the threshold'),
    'precision_recall': (page, 'precision over recall'),
    'read_log': (page, 'Curves of the training'),
    'data_statistics': (page, 'Data set')}


@pytest.fixture
def without_pictures(monkeypatch):
    """Leave the pictures out, which take most of the time."""
    for name in 'plot_precision_recall', 'draw_detections', 'plot_curves':
        monkeypatch.setattr(results, name, lambda *_, **__: None)


def failing(error):
    def fail(*_, **__):
        raise error
    return fail


@pytest.mark.parametrize('part', PARTS)
def test_a_part_fails_alone_and_is_named(part, tmp_path, monkeypatch):
    module, words = PARTS[part]
    if module is page:
        for name in 'plot_precision_recall', 'draw_detections', 'plot_curves':
            monkeypatch.setattr(results, name, lambda *_, **__: None)
    write_log(tmp_path)
    monkeypatch.setattr(module, part, failing(ZeroDivisionError(SCRIPT)))
    text, (line, *rest) = make(tmp_path)
    assert words in line and 'ZeroDivisionError: ' in line and not rest
    if module is results:
        missing = {'loss.png', 'map.png'} if part == 'plot_curves' else {words} & FILES
        assert FILES - {path.name for path in tmp_path.iterdir()} == missing
    assert 'Not in this report: ' in text and 'ZeroDivisionError' in text
    assert text.count('<section') == 11 and '<script' not in text
    assert 'map' in json.loads((tmp_path / 'metrics.json').read_text())


@pytest.mark.parametrize('error', [MemoryError(), RecursionError(), OSError(28, 'No space left')],
                         ids=lambda error: type(error).__name__)
def test_any_error_is_one_of_a_part(error, tmp_path, without_pictures, monkeypatch):
    monkeypatch.setattr(page, 'confusion_table', failing(error))
    _, (line,) = make(tmp_path)
    assert f'Confusion matrix: failed ({type(error).__name__}: ' in line


def test_a_comparison_that_fails_costs_the_sections_that_need_it(
        tmp_path, without_pictures, monkeypatch):
    monkeypatch.setattr(page, 'compare', lambda *_: 1 / 0)
    text, lines = make(tmp_path)
    assert len(lines) == 6 and 'Precision and recall' in text and 'Data set' in text


def test_a_picture_of_a_mistake_fails_alone(tmp_path):
    data = make_data(tmp_path)
    images = detect(Detector(), data.test)
    data.test.examples[0].path.unlink()
    with pytest.raises(Incomplete) as caught:
        page.write_report(tmp_path, '', {
            'map': .5, 'ap': dict.fromkeys(NAMES, .5), 'iteration': None, 'seconds': 1.,
            'threshold': .3, 'threshold_from': '', 'date': '', 'command': '', 'hardware': '',
            'settings': {}, 'versions': {}}, images, data)
    assert all('picture' in line for line in str(caught.value).splitlines())
    assert '<img' in (tmp_path / 'report.html').read_text()


def test_metrics_that_cannot_be_written_are_an_error_after_the_rest(tmp_path):
    (tmp_path / 'metrics.json').mkdir()
    text, lines = make(tmp_path)
    assert 'metrics.json: cannot be written' in lines[0] and (tmp_path / 'detections.png').exists()
    assert 'metrics.json' in text


def test_the_scores_are_written_before_any_picture(tmp_path, monkeypatch):
    monkeypatch.setattr(results, 'coco_score', failing(KeyboardInterrupt()))
    with pytest.raises(KeyboardInterrupt):
        make(tmp_path)
    assert json.loads((tmp_path / 'metrics.json').read_text())['map'] == pytest.approx(.5)


def test_a_check_of_learning_fails_alone(tmp_path, without_pictures):
    class Model:
        threshold, insize = None, 300

        def predict(self, imgs):
            raise MemoryError
    data = make_data(tmp_path)
    learning = examine(Model(), data, detect(Detector(), data.test), .3)
    assert learning.black is None and learning.same_box is not None
    assert 'check of empty images: failed (MemoryError' in learning.failed[0]
    text, lines = make(tmp_path, data, learning)
    assert lines == learning.failed and 'best score in a black image' in text


def test_evaluate_ends_with_status_1_and_a_line_per_failure(data, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(results, 'draw_detections', lambda *_, **__: 1 / 0)
    monkeypatch.setattr(page, 'confusion_table', lambda *_: 1 / 0)
    model = store(tmp_path / 'model.npz', CLASSES)
    with pytest.raises(SystemExit) as ended, ending_together('evaluate.py'):
        evaluate.main(['--model', str(model), '--data', str(data)])
    assert ended.value.code == 1
    first, second = capsys.readouterr()[1].splitlines()
    assert first.startswith('evaluate.py: ') and 'detections.png: failed (ZeroDivision' in first
    assert 'Confusion matrix: failed (ZeroDivision' in second
    assert (tmp_path / 'evaluation/report.html').exists()


HOSTILE = ['$\\frac$', '$x_1$', '$', '_hidden', '', 'a\nb', 'a\x00b', 'a\x1b[2J', '\udc80',
           '\u202eb', SCRIPT, 'x' * 10_000, '\U0001f600', '\u05e9\u05dc', '%s{0}{{x}}',
           '\x85\u2028']


@pytest.mark.filterwarnings('error')
def test_hostile_names_of_classes_cost_nothing(tmp_path):
    """Each name has an object and a detection, a row, a curve and a picture."""
    n = len(HOSTILE)
    bbox, label = np.tile(BOX[:1], (n, 1)), np.arange(n, dtype='i')
    data = make_data(tmp_path, n_image=1)._replace(label_names=tuple(HOSTILE))
    test = VOCDataset([data.test.examples[0]._replace(
        bbox=bbox, label=label, difficult=np.zeros(n, bool))])
    data = data._replace(train=test, test=test)
    images = [[bbox], [label], [np.full(n, .9, 'f')], [bbox], [label], [np.zeros(n, bool)]]
    write_results(tmp_path, data, images, score(precision_recall(images, HOSTILE)),
                  learning=LEARNING, iteration=None, settings=SETTINGS, seconds=1., device='cpu',
                  hardware='')
    text = (tmp_path / 'report.html').read_text(encoding='utf-8')
    assert '<script' not in text and len(text) < 2e6
    assert not set('\x00\x1b\u202e\x85\u2028\udc80') & set(text)
    assert set(json.loads((tmp_path / 'metrics.json').read_text())['ap']) == set(HOSTILE)
    save_pictures(data, tmp_path / 'look')


@pytest.mark.parametrize('name', HOSTILE, ids=ascii)
def test_a_name_in_a_picture_is_one_short_line(name):
    short = short_name(name)
    assert len(short) <= LONGEST and '\n' not in short and short.isprintable()


def test_pictures_draw_short_names(monkeypatch):
    drawn = []
    monkeypatch.setattr('PIL.ImageDraw.ImageDraw.text', lambda image, xy, text, *_, **__:
                        drawn.append(text))
    draw_boxes(np.zeros((3, 90, 90), 'f'), np.tile(BOX[:1], (len(HOSTILE), 1)),
               np.arange(len(HOSTILE)), HOSTILE)
    assert drawn == list(map(short_name, HOSTILE))


def test_every_curve_has_its_name_in_the_legend(tmp_path, monkeypatch):
    figures = []

    def keep(*args):
        figures.append(plot(*args))
        return figures[-1]
    monkeypatch.setattr(curves, 'plot', keep)
    texts = []
    set_text = curves.plot_precision_recall.__globals__['_draw_precision_recall']
    monkeypatch.setattr(curves, '_draw_precision_recall', lambda axes, *rest: (
        set_text(axes, *rest), texts.extend(axes.get_legend().get_texts())))
    curve = np.array([1., .5]), np.array([.5, 1.])
    curves.plot_precision_recall(tmp_path / 'x.png', {'_a': curve, '$b$': curve, 'none': None},
                                 {'_a': .25, '$b$': .5, 'none': None})
    assert [text.get_text() for text in texts] == ['_a 0.250', '$b$ 0.500']
    assert not any(text.get_parse_math() for text in texts)


def of_size(folder, size, shown=None):
    """Two images of a size, each with a cat and a dog. ``shown`` is the size as the data has it."""
    cv2.imwrite(str(folder / 'x.png'), np.zeros((*size, 3), np.uint8))
    example = Example(folder / 'x.png', BOX, np.array([0, 1], 'i'), np.zeros(2, bool),
                      size if shown is None else shown)
    test = VOCDataset([example] * 2)
    return make_data(folder)._replace(train=test, test=test)


@pytest.mark.filterwarnings('error')
@pytest.mark.parametrize('size', [(1, 10_000), (10_000, 1), (2, 3000), (1, 1)], ids=str)
def test_images_of_odd_shapes_have_a_report_of_bounded_size(size, tmp_path):
    _, lines = make(tmp_path, of_size(tmp_path, size))
    assert not lines
    with Image.open(tmp_path / 'detections.png') as picture:
        assert max(picture.size) < 8000


@pytest.mark.parametrize('size', [('64', 120), (0, 0)], ids=str)
def test_a_size_that_is_none_costs_the_statistics_alone(size, tmp_path, without_pictures):
    text, lines = make(tmp_path, of_size(tmp_path, (100, 120), size))
    assert len(lines) <= 1 and 'Confusion matrix' in text


BOXES = {'far': [0, 0, 1e9, 1e9], 'nan': [np.nan] * 4, 'inf': [-np.inf, -np.inf, np.inf, np.inf],
         'inverted': [50, 50, 10, 10], 'empty': [5, 5, 5, 5], 'away': [-1e9, -1e9, -1e8, -1e8],
         'huge': [1e38, 1e38, 3e38, 3e38]}


@pytest.mark.filterwarnings('error')
@pytest.mark.parametrize('kind', BOXES)
def test_wild_boxes_are_drawn_within_the_image(kind):
    bbox = np.array(BOXES[kind], 'f')
    img = np.zeros((3, 40, 50), 'f')
    assert draw_boxes(img, bbox[None], np.array([0]), ['a'], 400).size == (500, 400)
    cut = figure(img, Match(0, 'missed', (bbox, 0), None, 0), ('cat',), 'x')
    assert max(cut.size) == SIDE and np.isfinite([number for _, box in cut.boxes
                                                  for number in box]).all()
    (_, (_, _, width, height)), = cut.boxes
    assert width >= 0 and height >= 0


def test_wild_objects_cost_no_part_of_the_report(tmp_path):
    data = make_data(tmp_path)
    wild = np.array(list(BOXES.values()), 'f')
    examples = [example._replace(bbox=wild, label=np.zeros(len(wild), 'i'),
                                 difficult=np.zeros(len(wild), bool))
                for example in data.test.examples]
    _, lines = make(tmp_path, data._replace(test=VOCDataset(examples)))
    assert not lines


def test_the_page_of_ten_thousand_classes_is_small(tmp_path, without_pictures):
    names = tuple(f'class {n}' for n in range(10_000))
    text, lines = make(tmp_path, make_data(tmp_path)._replace(label_names=names))
    assert not lines and len(text) < 2e6 and text.count('<tr>') < 1100
    assert '9,500 more classes, the worst, are left out.' in text
    assert '9,500 more classes, the rarest, are left out.' in text


def test_numbers_that_are_not_finite_are_null(tmp_path, without_pictures):
    learning = LEARNING._replace(typical=float('inf'), black=float('nan'))
    make(tmp_path, learning=learning)
    metrics = json.loads((tmp_path / 'metrics.json').read_text(), parse_constant=pytest.fail)
    assert metrics['learning']['typical'] is None
