"""The pictures of a run's input: exact, without an effect on the run, and small on the page."""
import random

from multibox.data import MakeTargets, TrainingSequence, VOCDataset, seed_all
from multibox.data.annotations import Example
from multibox.networks import make_detector
from multibox.processes import ONE
from multibox.report import inputs, mosaic
from tests.report.test_page import section, text_of
from tests.support.reports import NAMES, make_data, write

import numpy as np
import pytest
from PIL import Image

REGION = np.array([[0, 60, 50, 120]], 'f')


class Other:
    is_first = False


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    """Ten images with two objects each, the last with an ignored region."""
    data = make_data(tmp_path_factory.mktemp('images'), n_image=10)
    *examples, last = data.train.examples
    return data._replace(train=VOCDataset([*examples, Example(
        *last[:5], ignored=REGION)]))


@pytest.fixture(scope='module')
def sequence(data):
    model = make_detector('slim300', len(NAMES))
    targets = MakeTargets(model.coder, model.insize, model.mean)
    return TrainingSequence(data.train.as_decoded(), targets, seed=3, length=400)


def test_the_images_and_the_objects_are_those_of_the_first_examples(sequence):
    shown = list(mosaic.first_examples(sequence))
    assert len(shown) == mosaic.N_IMAGE
    for t, (img, bbox, label, n_positive) in enumerate(shown):
        net_img, mb_loc, mb_label = sequence[t]
        np.testing.assert_array_equal(img - sequence.transform.mean, net_img)
        encoded = sequence.transform.coder.encode(bbox, label)
        np.testing.assert_array_equal(encoded[0], mb_loc)
        np.testing.assert_array_equal(encoded[1], mb_label)
        assert n_positive == (mb_label > 0).sum()


def test_the_random_draws_of_the_run_stay(sequence, tmp_path):
    def draw(picture):
        seed_all(8)
        if picture:
            mosaic.save_mosaic(tmp_path / 'training.png', sequence, NAMES)
        return random.random(), np.random.rand()

    assert draw(picture=True) == draw(picture=False)


def test_a_short_run_and_slow_images_have_fewer_pictures(sequence, data, tmp_path, monkeypatch):
    short = TrainingSequence(sequence.dataset, sequence.transform, 3, length=2)
    mosaic.save_mosaic(tmp_path / 'short.png', short, data.label_names)
    with Image.open(tmp_path / 'short.png') as picture:
        assert picture.height == mosaic.SIDE + mosaic.CAPTION
    monkeypatch.setattr(mosaic, 'MAX_SECONDS', 0)
    assert len(list(mosaic.first_examples(sequence))) == 1


def test_ignored_regions_are_no_objects(data, sequence, tmp_path, monkeypatch):
    captions = []
    monkeypatch.setattr(mosaic.ImageDraw.ImageDraw, 'text',
                        lambda self, place, text, *_, **__: captions.append(text))
    img = np.zeros((3, 300, 300), 'f')
    mosaic._tile(img, np.repeat(REGION, 2, axis=0), np.array([-1, 0]), 7, NAMES)
    assert captions == ['ignored', 'cat', '1 object, 7 positives']


def test_a_picture_that_fails_is_named_and_ends_nothing(data, tmp_path, capsys):
    (tmp_path / 'data-set').write_text('')  # in the place of the folder
    inputs.save_inputs(tmp_path, data, TrainingSequence(data.train, None, 0, 9), ONE)
    lines = capsys.readouterr()[0].splitlines()
    assert len(lines) == 2 and all('not drawn' in line for line in lines)
    assert lines[0].startswith(str(tmp_path / 'training.png'))


def test_the_other_processes_draw_nothing(data, sequence, tmp_path):
    inputs.save_inputs(tmp_path, data, sequence, Other())
    assert not list(tmp_path.iterdir())


@pytest.fixture(scope='module')
def drawn(data, sequence, tmp_path_factory):
    """The folder of a run with all pictures of its input."""
    out = tmp_path_factory.mktemp('drawn')
    inputs.save_inputs(out, data, sequence, ONE)
    return out


def test_the_page_shows_small_copies(data, drawn):
    report = write(drawn, data)
    parts = [section(report, name) for name in ('Training images, augmented', 'Data set')]
    assert [part.count('data:image/jpeg') for part in parts] == [1, 3]
    assert sum(map(len, parts)) < 1e6  # noise compresses worst
    assert 'as the network sees them' in text_of(parts[0])


def test_an_evaluation_does_not_show_the_pictures_of_an_earlier_run(data, drawn):
    report = write(drawn, data, iteration=None)
    assert 'augmented' not in report and 'data:image' not in section(report, 'Data set')
