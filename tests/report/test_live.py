"""report.html and metrics.json of a run that goes on, and of one that has ended."""
import json
import re

from multibox.evaluation import Learning, detect, precision_recall, score
from multibox.report import write_results
from tests.support.reports import NAMES, Detector, make_data, write

import pytest


def test_the_page_of_a_run_that_goes_on_tells_its_progress_and_reloads_itself(tmp_path):
    page = write(tmp_path, make_data(tmp_path), running=True, iteration=1300,
                 settings={'iteration': 12000})
    assert re.search(r'Training: iteration 1,300 of 12,000, written \d\d:\d\d \S+\. ', page)
    assert '<meta http-equiv="refresh" content="30">' in page and '<title>running, ' in page


def test_the_page_of_an_ended_run_stays(tmp_path):
    page = write(tmp_path, make_data(tmp_path))
    assert 'http-equiv' not in page and 'role="status"' not in page and '<title>running' not in page


@pytest.mark.parametrize('running', [True, False])
def test_the_metrics_tell_whether_the_run_goes_on(tmp_path, capsys, running):
    data = make_data(tmp_path)
    images = detect(Detector(), data.test)
    learning = Learning(.3, 'that of a test', None, None, 0., 0., None, None, [])
    write_results(tmp_path, data, images, score(precision_recall(images, NAMES)),
                  learning=learning, iteration=3, seconds=1., device='cpu', hardware='',
                  settings={'iteration': 9, 'model': 'slim300', 'data': None}, running=running)
    metrics = json.loads((tmp_path / 'metrics.json').read_text())
    assert metrics['running'] == running
    assert metrics['test'] == {'images': 3, 'objects': 5}  # the difficult dog does not count
    assert ('mAP' in capsys.readouterr()[0]) != running
