"""A data set as a whole: difficult objects, problems, and sets without objects."""
from multibox.data import load_data
from multibox.errors import UserError
from tests.support.voc import GOOD, NO_AREA, VOC2007, stems, write

import numpy as np
import pytest
from chainercv.datasets import VOCBboxDataset
from PIL import Image

MIXED = [('cat', GOOD, 1), ('cat', (1, 2, 11, 12), 0)]


@pytest.mark.parametrize('difficult, in_train', [(False, [False]), (True, [True, False])],
                         ids=['default', 'kept'])
def test_difficult_objects_stay_in_the_test_set_and_on_request_in_training(
        tmp_path, difficult, in_train):
    write(tmp_path, {'train': ['a'], 'test': ['b']}, a=MIXED, b=MIXED)
    data = load_data(tmp_path, difficult=difficult)
    assert data.train[0][3].tolist() == in_train
    assert data.train[0][1][-1].tolist() == [1, 0, 11, 10]
    assert len(data.train[0][1]) == len(data.train[0][2]) == len(in_train)
    assert data.test[0][3].tolist() == [True, False]


def test_problems_of_both_splits_are_returned(tmp_path):
    bad = [('cat', GOOD, 0), ('cat', NO_AREA, 0)]
    data = load_data(write(tmp_path, {'train': ['a', 'c'], 'test': ['b', 'd']}, a=bad, b=bad))
    assert [problem.file.stem for problem in data.problems] == ['a', 'b']
    assert (stems(data.train), stems(data.test)) == (['c'], ['d'])


def test_strict_refuses_problems_and_lists_all_of_them(tmp_path):
    bad = [('cat', GOOD, 0)] + 20 * [('cat', NO_AREA, 0)]
    write(tmp_path, {'train': ['a', 'c'], 'test': ['b', 'd']}, a=bad, b=bad)
    with pytest.raises(UserError, match='40 problems') as error:
        load_data(tmp_path, strict=True)
    assert str(error.value).splitlines()[1:] == [str(p) for p in load_data(tmp_path).problems]


def test_strict_accepts_a_clean_folder(tmp_path):
    assert load_data(write(tmp_path, {'train': ['a'], 'test': ['b']}), strict=True).problems == []


@pytest.mark.parametrize('objects, purpose', [
    ({'a': [('cat', NO_AREA, 0)]}, 'train'), ({'a': [('cat', GOOD, 1)]}, 'train'),
    ({'a': []}, 'train'), ({'b': [('cat', NO_AREA, 0)]}, 'evaluate'),
], ids=['all bad', 'all difficult', 'all background', 'nothing to evaluate'])
def test_nothing_usable_is_an_error(tmp_path, objects, purpose):
    write(tmp_path, {'train': ['a'], 'test': ['b']}, **objects)
    with pytest.raises(UserError, match=f'{tmp_path}: no usable object to {purpose} on'):
        load_data(tmp_path)


def test_the_error_about_an_empty_set_shows_the_first_problems(tmp_path):
    write(tmp_path, {'train': ['a'], 'test': ['b']}, a=20 * [('cat', NO_AREA, 0)])
    with pytest.raises(UserError, match='the first of 20 problems') as error:
        load_data(tmp_path)
    assert str(error.value).count('box has no area') == 10


def test_an_image_without_objects_stays_in_the_training_set(tmp_path):
    data = load_data(write(tmp_path, {'train': ['a', 'empty'], 'test': ['b']}, empty=[]))
    img, bbox, label, difficult = data.train[1]
    assert img.shape == (3, 30, 40) and data.train.examples[1].size == (30, 40)
    assert (bbox.shape, label.shape, difficult.shape) == ((0, 4), (0,), (0,))


def test_examples_equal_those_of_chainercv(tmp_path):
    rng = np.random.RandomState(0)
    write(tmp_path / 'VOC2007', VOC2007, **{'07t': MIXED})
    stored = tmp_path / 'VOC2007/JPEGImages/07t.jpg'
    Image.fromarray(rng.randint(0, 256, (30, 40, 3)).astype(np.uint8)).save(stored)
    theirs = VOCBboxDataset(str(tmp_path / 'VOC2007'), 'trainval', use_difficult=True,
                            return_difficult=True)[0]
    for ours, expected in zip(load_data(tmp_path, difficult=True).train[0], theirs):
        np.testing.assert_allclose(ours, expected, atol=3)  # decoders may round differently
        assert ours.dtype == expected.dtype
