"""The content of report.html and its size. The page needs no other file."""
import base64
import html
import io
import re
import weakref

from multibox.data import VOCDataset
from multibox.data.annotations import Problem
from multibox.errors import UserError
from multibox.evaluation import detect
from multibox.evaluation.mistakes import Match, compare
from multibox.report import write_report
from multibox.report.confusion import confusion_table
from multibox.report.page import TEMPLATES
from multibox.report.pictures import caption, figure, window
from multibox.report.scores import COCO_NAMES
from tests.support.reports import NAMES, SCRIPT, Detector, make_data, write, write_log

import numpy as np
import pytest
from markupsafe import escape
from PIL import Image


def text_of(markup):
    """The text that a reader sees: no tags, and one space between words."""
    markup = re.sub(r'<style>.*?</style>|data:image/\w+;base64,[^"]*', '', markup, flags=re.DOTALL)
    return ' '.join(html.unescape(re.sub('<[^>]*>', ' ', markup)).split())


@pytest.fixture(scope='module')
def report(tmp_path_factory):
    folder = tmp_path_factory.mktemp('report')
    return write(folder, make_data(folder))


def section(report, heading):
    return re.search(rf'<section id="s\d+"><h2>{heading}</h2>(.*?)</section>', report,
                     re.DOTALL)[1]


def test_the_contents_lead_to_every_section(report):
    assert re.findall(r'href="#(s\d+)">([^<]+)<', report) == re.findall(
        r'<section id="(s\d+)"><h2>([^<]+)<', report)
    assert len(re.findall('<section', report)) == 9  # this run has no log


def test_the_table_counts_what_was_found(report):
    part = section(report, 'Average precision by class')
    assert re.findall(r'width:([\d.]+)%', part) == ['100.0', '0.0', '50.0']  # the best class first
    text = text_of(part)
    assert 'cat 1.0000 3 3 0 0 0' in text
    assert f'{NAMES[1]} 0.0000 2 0 2 3 3' in text  # the difficult object is not missed
    assert 'mean, sum 0.5000 5 3 2 3 3' in text


def test_every_mistake_is_shown_with_its_boxes_and_in_words(report):
    for heading, n, what in (
            ('Missed objects', 2, f'{NAMES[1]}, nearest: {NAMES[1]} 0.80, IoU 0.32'),
            ('False detections', 3, f'{NAMES[1]} 0.70, nothing there'),
            ('Badly placed detections', 3, f'{NAMES[1]} 0.80, IoU 0.32')):
        part = section(report, heading)
        assert text_of(part).count(what) == n and f'{n} of {n}.' in text_of(part)
        assert len(re.findall('<img src="data:image/jpeg;base64,', part)) == n
        assert escape(what) in re.search('alt="([^"]*)"', part)[1]
    # Only the key of the section has such a rectangle.
    assert len(re.findall('rect class="true"', section(report, 'False detections'))) == 1


def test_all_text_is_escaped(report):
    for tag in ('<script', '<b>dog'):
        assert tag not in report
    assert text_of(report).count(SCRIPT) == 6  # title twice, note, command, setting, hardware


def test_the_data_set_is_summed_up(report):
    text = text_of(section(report, 'Data set'))
    assert text.startswith(SCRIPT)  # the note
    for row in ('training test images 3 3', 'objects 6 6', 'objects marked difficult 1 1',
                'image sizes 120 × 100 120 × 100', 'cat 3 3'):  # noqa: RUF001
        assert row in text
    assert '25 to 50 % 100.0 % 100.0 %' in text  # 40 x 40 and 60 x 30 of 100 x 120 pixels


def test_an_evaluation_has_no_training(tmp_path):
    write_log(tmp_path)  # from an earlier run
    report = write(tmp_path, make_data(tmp_path, train=False), iteration=None)
    assert 'Curves of the training' not in report and '>training<' not in report


def test_curves_are_within_the_page(tmp_path):
    write_log(tmp_path)
    report = write(tmp_path, make_data(tmp_path))
    shown = section(report, 'Curves of the training')
    assert re.findall('aria-label="([^.]*)', shown) == [
        'loss over iteration', 'mAP over iteration', 'learning rate over iteration',
        'images per second over iteration']
    for title in ('loss: 5 at iteration 10', 'loss, test images: 6 at iteration 10',
                  'mAP: 0.5 at iteration 10', 'learning rate: 0.001 at iteration 20',
                  'images per second: 40 at iteration 20'):
        assert f'<title>{title}</title>' in shown, title
    assert len(re.findall('polyline class="line dashed"', shown)) == 1
    shown = section(report, 'Precision and recall')
    assert re.findall('aria-label="([^.]*)', shown) == [
        'share over threshold', 'precision over recall']
    assert 'best F1 0.750 at 0.85' in shown
    assert f'<title>{escape(NAMES[1])} 0.000: 0 at recall 0</title>' in shown


def test_the_confusion_matrix_is_a_table(report):
    rows = re.findall('<tr>(.*?)</tr>', section(report, 'Confusion matrix'), re.DOTALL)
    assert [text_of(row) for row in rows] == [
        'predicted', f'true cat {NAMES[1]} missed', 'cat 3 0 0', f'{NAMES[1]} 0 0 2',
        'background 0 6']


def test_of_80_classes_the_confusion_matrix_shows_20(tmp_path):
    names = tuple(f'class {n}' for n in range(80))
    table = confusion_table(compare(detect(Detector(), make_data(tmp_path).test), .3), names)
    assert (table['n_shown'], table['n_class'], len(table['rows'])) == (20, 80, 22)
    assert table['names'][-2:] == ['other classes', 'background']
    assert sum(n for row in table['rows'] for n, _, _ in row) == 5 + 6


def test_nothing_is_loaded_from_elsewhere(report):
    for address in re.findall(r'(?:src|href)="([^"]*)', report):
        assert address.startswith(('data:', '#'))
    for word in 'http', 'url(', '@import':
        assert word not in re.sub('base64,[^"]*', '', report)


@pytest.mark.parametrize('coco', [None, .25], ids=['no objects', 'some'])
def test_cocos_score_is_shown(tmp_path, coco):
    scores = {**dict.fromkeys(COCO_NAMES, coco), 'ap': dict.fromkeys(NAMES, coco)}
    text = text_of(write(tmp_path, make_data(tmp_path), coco=scores))
    assert ('AR, 100 unknown' if coco is None else 'AR, 100 0.2500') in text


def test_the_best_score_of_a_run_is_shown(tmp_path):
    page = write(tmp_path, make_data(tmp_path), best={'iteration': 1200, 'map': .81234})
    assert 'best mAP, iteration 1,200' in page and '0.8123' in page


def test_a_data_set_without_a_score_has_a_report(tmp_path):
    report = write(tmp_path, make_data(tmp_path), map=None, ap=dict.fromkeys(NAMES))
    assert '<h1>mAP unknown</h1>' in report


def test_problems_are_listed_up_to_a_limit(tmp_path):
    problems = [Problem(tmp_path / 'a.xml', n, None, SCRIPT) for n in range(1000)]
    report = write(tmp_path, make_data(tmp_path, problems=problems))
    assert section(report, 'Annotation problems').count('<li>') == 200
    assert '1,000 were found' in report and SCRIPT not in report


def test_the_page_of_many_images_is_small_and_holds_one_at_a_time(tmp_path, monkeypatch):
    data = make_data(tmp_path, n_image=60)
    alive, most = weakref.WeakSet(), []

    class Img(np.ndarray):  # a WeakSet needs hashable elements
        __hash__ = object.__hash__

    def load(_, i):
        img = np.random.RandomState(i).uniform(0, 255, (3, 100, 120)).astype('f').view(Img)
        alive.add(img)
        most.append(len(alive))
        return img

    images = detect(Detector(), data.test)
    monkeypatch.setattr(VOCDataset, 'picture', load)
    metrics = {'map': .5, 'ap': dict.fromkeys(NAMES, .5), 'iteration': 1, 'seconds': 1.,
               'threshold': .3, 'threshold_from': '', 'date': '', 'command': '', 'hardware': '',
               'settings': {}, 'versions': {}}
    write_report(tmp_path, '', metrics, images, data)
    assert len(most) == 36 and max(most) <= 2
    assert (tmp_path / 'report.html').stat().st_size < 4e6  # noise compresses worst


def test_a_run_without_test_images_has_no_mistakes(tmp_path):
    data = make_data(tmp_path)
    report = write(tmp_path, data._replace(test=VOCDataset([])))
    assert '>mAP unknown<' in report and '>Data set<' in report
    assert 'objects found' not in report and 'Missed' not in report and 'IoU' not in report


def test_counts_begin_at_the_threshold_of_the_metrics(tmp_path):
    report = write(tmp_path, make_data(tmp_path), threshold=.75)
    text = text_of(section(report, 'Average precision by class'))
    assert 'a score of at least 0.75, which is the threshold of the weights.' in text
    assert text_of(section(report, 'False detections')) == 'None.'  # the score of all is 0.7


LEARNING = {'conf_loss': 2.2, 'constant_loss': 2.81, 'black': .1, 'noise': .2, 'typical': .8,
            'same_box': {'label': 0, 'n_image': 2, 'share': .67, 'true_share': .33},
            'findings': [SCRIPT]}


def test_the_signs_of_learning_have_a_section(tmp_path):
    text = text_of(section(write(tmp_path, make_data(tmp_path), learning=LEARNING),
                           r'Has it learned\?'))
    assert text.startswith(SCRIPT)
    for row in ('confidence loss at the end of the run 2.20 2.81', 'a black image 0.10 0.30',
                'noise 0.20 0.30, the threshold; 0.80, the median in test images',
                'the same best box, cat 67 % 33 %'):
        assert row in text


def test_signs_that_are_unknown_are_left_out(tmp_path):
    learning = {**LEARNING, 'conf_loss': None, 'constant_loss': None, 'typical': None,
                'same_box': None}
    text = text_of(section(write(tmp_path, make_data(tmp_path), learning=learning),
                           r'Has it learned\?'))
    assert 'confidence loss' not in text and 'best box' not in text


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / 'report.html').mkdir()
    with pytest.raises(UserError, match=r'report\.html: cannot be written'):
        write(tmp_path, make_data(tmp_path))


@pytest.mark.parametrize('box, expected', [
    ((40, 40, 60, 60), (26, 26, 48, 48)),  # the smallest readable cut-out
    ((20, 20, 50, 60), (0, 0, 80, 80)),  # twice the longer side
    ((80, 80, 100, 110), (40, 60, 60, 60)),  # moved into the image
    ((0, 0, 100, 110), (0, 0, 100, 110)),  # longer than a square
    ((-9, -9, 99, 125), (0, 0, 100, 120)),  # a box may reach outside
], ids=['small', 'twice', 'corner', 'long', 'outside'])
def test_a_cut_out_shows_the_box_and_some_of_what_surrounds_it(box, expected):
    assert window(np.array([box], 'f'), (100, 120)) == expected


def test_a_cut_out_has_its_boxes_where_they_are():
    y, x = np.mgrid[:100, :200].astype('f')
    match = Match(0, 'misplaced', (np.array([10, 20, 60, 190], 'f'), 0),
                  (np.array([30, 40, 60, 90], 'f'), 0, .5), .3)
    cut = figure(np.stack([y, x, 0 * x]), match, ['cat'], 'a.jpg')  # columns 20 to 190
    markup = TEMPLATES.get_template('macros.html').module.mistake(cut)
    data = base64.b64decode(re.search('base64,([^"]*)', markup)[1])
    picture = np.array(Image.open(io.BytesIO(data)), int)
    assert picture.shape == (165, 280, 3) and 'viewBox="0 0 280 165"' in markup
    np.testing.assert_allclose(picture[[0, -1], [0, -1], :2], [[0, 20], [99, 189]], atol=4)
    assert 'class="true" x="0.0" y="16.5" width="280.0" height="82.3"' in markup
    assert 'class="found" x="32.9" y="49.4" width="82.4" height="49.4"' in markup


@pytest.mark.parametrize('kind, text', [
    ('missed', 'cat, nearest: dog 0.50, IoU 0.30'), ('class', 'dog 0.50 over cat, IoU 0.30'),
    ('again', 'dog 0.50, a second time, IoU 0.30'), ('misplaced', 'dog 0.50, IoU 0.30'),
    ('covers', 'dog 0.50, covers cat, but not well, IoU 0.30'),
    ('inside', 'dog 0.50, inside cat, IoU 0.30')])
def test_a_mistake_is_told_in_words(kind, text):
    assert caption(Match(0, kind, (None, 0), (None, 1, .5), .3), ['cat', 'dog']) == text


def test_several_covered_objects_are_told_and_drawn():
    objects = tuple((np.array(box, 'f'), 0) for box in ((5, 5, 15, 15), (5, 50, 15, 60)))
    match = Match(0, 'covers', objects[1], (np.array([0, 0, 90, 90], 'f'), 1, .47), .01, objects)
    cut = figure(np.zeros((3, 100, 100), 'f'), match, ['cat', 'dog'], 'a.jpg')
    assert cut.caption == 'dog 0.47, covers 2 objects, none well, best IoU 0.01'
    assert [kind for kind, _ in cut.boxes] == ['true', 'true', 'found']
    misplaced = match._replace(kind='misplaced')
    assert caption(misplaced, ['cat', 'dog']).endswith('none well, IoU 0.01 with cat')
