import os
from xml.etree import ElementTree

from multibox.data import load_data, synthetic
from multibox.errors import UserError

import numpy as np
import pytest


@pytest.fixture(scope='module')
def pictures():
    return [synthetic.draw_picture(np.random.default_rng(seed)) for seed in range(60)]


@pytest.fixture
def few(monkeypatch):
    """Let ``drawn_set`` draw four pictures only."""
    draw_set = synthetic.draw_set
    monkeypatch.setattr(synthetic, 'draw_set', lambda folder: draw_set(folder, n_train=3, n_test=1))


def contents(folder):
    return {path.relative_to(folder): path.read_bytes()
            for path in folder.rglob('*') if path.is_file()}


@pytest.mark.parametrize('name', synthetic.CLASSES)
@pytest.mark.parametrize('form', [
    {}, {'turn': 0.4}, {'aspect': 1.5}, {'mirror': True}, {'centre': (5, 70)},
], ids=['plain', 'turned', 'wide', 'mirrored', 'partly outside'])
def test_boxes_are_tight_around_the_painted_pixels(name, form):
    drawing = synthetic.CLASSES[name](np.random.default_rng(0))
    placed = synthetic.to_pixels(drawing, **({'centre': (60, 70), 'size': 80} | form))
    canvas = np.full((140, 120, 3), 255, np.uint8)
    synthetic.paint(canvas, placed)
    # An outline is at most 127. Where it covers half of a white pixel, the mixture is at most 191.
    rows, columns = np.nonzero((canvas <= 191).all(axis=2))
    (bbox,) = synthetic.mask_to_bbox(synthetic.mask_of(placed, 140, 120)[None])
    painted = rows.min(), columns.min(), rows.max() + 1, columns.max() + 1
    np.testing.assert_allclose(bbox, painted, atol=1)


def test_the_same_seed_draws_the_same_picture():
    one, two = (synthetic.draw_picture(np.random.default_rng(5)) for _ in range(2))
    np.testing.assert_array_equal(one[0], two[0])
    np.testing.assert_array_equal(one[1], two[1])
    assert one[2] == two[2]


def test_pictures_have_the_documented_sizes_and_types(pictures):
    for img, bbox, names in pictures:
        assert img.dtype == np.uint8
        assert img.shape[2] == 3
        assert 200 <= min(img.shape[:2]) <= max(img.shape[:2]) <= 260
        assert bbox.dtype == np.float32
        assert bbox.shape == (len(names), 4)
        assert 1 <= len(names) <= 5


def test_boxes_lie_within_the_picture_and_have_area(pictures):
    for img, bbox, _ in pictures:
        assert (bbox[:, :2] >= 0).all()
        assert (bbox[:, 2:] <= img.shape[:2]).all()
        assert (bbox[:, :2] + 5 < bbox[:, 2:]).all()


def test_all_classes_numbers_and_scales_occur(pictures):
    assert {name for _, _, names in pictures for name in names} == set(synthetic.CLASSES)
    assert {len(names) for _, _, names in pictures} == {1, 2, 3, 4, 5}
    longer = np.concatenate([(bbox[:, 2:] - bbox[:, :2]).max(axis=1) for _, bbox, _ in pictures])
    assert longer.min() < 45
    assert longer.max() > 120


def test_hidden_shares_count_what_is_painted_later():
    rows = np.arange(4)[:, None] * np.ones(3, int)
    masks = [rows >= 0, rows == 1, (rows == 1) | (rows == 2)]
    assert synthetic.hidden_shares(masks) == [0.5, 1, 0]


def test_no_object_is_placed_where_it_hides_too_much(monkeypatch):
    monkeypatch.setattr(synthetic, 'hidden_shares',
                        lambda masks: [synthetic.MAX_HIDDEN + 0.01 * (len(masks) > 2)])
    n_objects = [len(synthetic.draw_picture(np.random.default_rng(seed))[2]) for seed in range(12)]
    assert set(n_objects) == {1, 2}


def test_two_sets_are_equal_byte_for_byte(tmp_path):
    for name in ('one', 'two'):
        synthetic.draw_set(tmp_path / name, n_train=4, n_test=2)
    one, two = contents(tmp_path / 'one'), contents(tmp_path / 'two')
    assert len(one) == 2 * 6 + 3
    assert one == two


def test_training_and_test_pictures_differ(tmp_path):
    synthetic.draw_set(tmp_path / 'set', n_train=2, n_test=2)
    images = [path.read_bytes() for path in (tmp_path / 'set/JPEGImages').iterdir()]
    assert len(set(images)) == 4


def test_a_drawn_set_loads_as_voc_without_a_problem_and_with_the_boxes_drawn(tmp_path):
    synthetic.draw_set(tmp_path / 'set', n_train=8, n_test=3)
    data = load_data(tmp_path / 'set', strict=True)
    assert (len(data.train), len(data.test)) == (8, 3)
    assert data.label_names == tuple(synthetic.CLASSES)
    img, bbox, names = synthetic.draw_picture(np.random.default_rng([1, 2]))  # the last test image
    loaded_img, loaded_bbox, label, _ = data.test[2]
    assert [data.label_names[i] for i in label] == names
    # VOC's corners are inclusive, and loading subtracts 1: the far sides come back a pixel short.
    np.testing.assert_array_equal(loaded_bbox, bbox - (0, 0, 1, 1))
    assert abs(loaded_img - img.transpose(2, 0, 1)).mean() < 8  # JPEG


def test_annotations_say_the_pictures_size(tmp_path):
    synthetic.draw_set(tmp_path / 'set', n_train=1, n_test=1)
    root = ElementTree.parse(tmp_path / 'set/Annotations/test_000.xml').getroot()
    img, _, _ = synthetic.draw_picture(np.random.default_rng([1, 0]))
    assert [int(root.findtext(f'size/{tag}')) for tag in ('height', 'width', 'depth')] == list(
        img.shape)


def test_the_set_is_drawn_once_and_says_so(tmp_path, few, capsys):
    folder = synthetic.drawn_set(tmp_path)
    assert folder == tmp_path / f'drawn-{synthetic.VERSION}'
    assert f'Drawing the built-in data set into {folder}' in capsys.readouterr().out
    first = contents(folder)
    assert synthetic.drawn_set(tmp_path) == folder
    assert capsys.readouterr().out == ''
    assert contents(folder) == first


@pytest.mark.parametrize('variables, expected', [
    ({'XDG_CACHE_HOME': 'xdg'}, 'xdg/multibox'), ({'XDG_CACHE_HOME': ''}, '.cache/multibox'),
], ids=['xdg', 'home'])
def test_the_cache_is_where_the_system_keeps_caches(tmp_path, few, monkeypatch, variables,
                                                    expected):
    monkeypatch.setenv('HOME', str(tmp_path))
    for name, value in variables.items():
        monkeypatch.setenv(name, str(tmp_path / value) if value else '')
    assert synthetic.drawn_set().parent == tmp_path / expected


@pytest.mark.parametrize('error', [KeyboardInterrupt, RuntimeError])
def test_an_interrupted_drawing_leaves_nothing(tmp_path, monkeypatch, error):
    def interrupted(folder):
        draw_set(folder, n_train=2, n_test=1)
        raise error

    draw_set = synthetic.draw_set
    monkeypatch.setattr(synthetic, 'draw_set', interrupted)
    with pytest.raises(error):
        synthetic.drawn_set(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_of_two_processes_the_first_to_finish_wins(tmp_path, few, monkeypatch):
    def slower(folder):
        few_set(folder)
        os.rename(tmp_path / 'other', tmp_path / f'drawn-{synthetic.VERSION}')

    few_set = synthetic.draw_set
    few_set(tmp_path / 'other')
    (tmp_path / 'other/first').touch()
    monkeypatch.setattr(synthetic, 'draw_set', slower)
    folder = synthetic.drawn_set(tmp_path)
    assert (folder / 'first').exists()
    assert list(tmp_path.iterdir()) == [folder]


def test_a_cache_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / 'file').touch()
    with pytest.raises(UserError, match=r'file.*cannot draw .* XDG_CACHE_HOME'):
        synthetic.drawn_set(tmp_path / 'file')
