"""The pictures that ``python -m multibox.data check --pictures`` draws."""
from multibox.data import gallery
from multibox.data.annotations import Example
from multibox.data.voc import VOCData, VOCDataset

import numpy as np
import pytest
from PIL import Image

NAMES = ('cat', 'a $name_with^mathtext$', 'Größe')


@pytest.fixture
def data(tmp_path):
    examples = []
    for n in range(3):
        path = tmp_path / f'{n}.png'
        Image.new('RGB', (60, 40 + 40 * n), (10 * n, 20, 30)).save(path)
        bbox = np.array([[0, 0, 20, 30], [10, 30, 40, 60]], 'f')[:n]
        examples.append(Example(path, bbox, np.arange(n, dtype='i'), np.arange(n) > 0,
                                (40 + 40 * n, 60), np.array([[5, 5, 15, 15]], 'f')[:n % 2]))
    return VOCData(VOCDataset(examples), VOCDataset(examples[:1]), NAMES, [], [])


def test_three_pictures_are_written(data, tmp_path):
    paths = gallery.save_pictures(data, tmp_path / 'look')
    assert [path.name for path in paths] == ['sample.png', 'statistics.png', 'positions.png']
    for path in paths:
        with Image.open(path) as picture:
            assert min(picture.size) > 200 and len(np.unique(picture)) > 9


def test_a_set_without_objects_has_pictures_too(data, tmp_path):
    empty = data._replace(train=VOCDataset(data.train.examples[:1]), test=VOCDataset([]))
    assert len(gallery.save_pictures(empty, tmp_path)) == 3


def test_the_map_counts_the_boxes_over_each_place():
    boxes = np.array([[0, 0, 1, 1], [0, 0, 0.5, 0.25], [0.25, 0, 0.5, 1]])
    cover = gallery._cover(boxes)
    half, quarter = gallery.N_CELL // 2, gallery.N_CELL // 4
    expected = np.ones((gallery.N_CELL, gallery.N_CELL), int)
    expected[:half, :quarter] += 1
    expected[quarter:half] += 1
    np.testing.assert_array_equal(cover, expected)


def test_the_sample_shows_fewer_of_large_images(data):
    many = {'train': data.train.examples * 8}
    heights = [gallery._sample(many, NAMES, n * 80 * 60).height for n in (100, 9, 1)]
    assert heights == [n * (gallery.HEIGHT + gallery.GAP) for n in (6, 3, 1)]
