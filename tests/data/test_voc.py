from multibox.data.annotations import Example
from multibox.data import VOCDataset, load_data
from multibox.errors import UserError
from tests.support.voc import GOOD, NO_AREA, VOC2007, VOC2012, stems, write

import cv2
import numpy as np
import pytest
from chainercv.datasets import VOCBboxDataset, voc_bbox_label_names
from PIL import Image

# splits

@pytest.mark.parametrize('splits, train, test', [
    ({'trainval': ['a', 'b'], 'train': ['a'], 'val': ['b'], 'test': ['c']}, ['a', 'b'], ['c']),
    ({'train': ['a'], 'val': ['b'], 'test': ['c']}, ['a'], ['c']),
    ({'trainval': ['a', 'b'], 'train': ['a'], 'val': ['b']}, ['a'], ['b']),
], ids=['trainval and test', 'train and test', 'train and val'])
def test_splits_are_chosen_by_the_files_there(tmp_path, splits, train, test):
    data = load_data(write(tmp_path, splits))
    assert stems(data.train) == train
    assert stems(data.test) == test


@pytest.mark.parametrize('splits, test', [
    ({'test': ['a']}, ['a']), ({'val': ['a']}, ['a']), ({'val': ['b'], 'test': ['a']}, ['a']),
    ({'train': ['b'], 'test': ['a']}, ['a']),
], ids=['test', 'val', 'val and test', 'train and test'])
def test_the_test_split_alone_can_be_read(tmp_path, splits, test):
    data = load_data(write(tmp_path, splits), train=False)
    assert stems(data.test) == test and len(data.train) == 0


def test_a_devkit_of_the_test_images_alone_can_be_read(tmp_path):
    write(tmp_path / 'VOC2007', {'test': ['a']})
    assert stems(load_data(tmp_path, train=False).test) == ['a']


def test_a_folder_without_a_test_split_is_named(tmp_path):
    write(tmp_path, {'train': ['a']})
    with pytest.raises(UserError, match=r'needs test\.txt or val\.txt, but holds train\.txt'):
        load_data(tmp_path, train=False)


@pytest.mark.parametrize('splits, found', [
    ({}, 'none of them'), ({'test': ['a']}, r'holds test\.txt'),
    ({'trainval': ['a'], 'val': ['b']}, r'holds trainval\.txt, val\.txt'),
], ids=['none', 'test alone', 'nothing to test on'])
def test_missing_splits_end_in_an_error_that_says_what_is_there(tmp_path, splits, found):
    with pytest.raises(UserError, match=f'{tmp_path}.*needs trainval.txt .*{found}'):
        load_data(write(tmp_path, splits))


def test_only_the_first_column_of_a_split_file_counts(tmp_path):
    write(tmp_path, {'train': ['000012', '7'], 'test': ['8']})
    (tmp_path / 'ImageSets/Main/train.txt').write_text('\ufeff000012  1\r\n\r\n7 -1\r\n', 'utf-8')
    assert stems(load_data(tmp_path).train) == ['000012', '7']


def test_a_split_file_that_is_no_text_is_named(tmp_path):
    write(tmp_path, {'train': ['a'], 'test': ['b']})
    (tmp_path / 'ImageSets/Main/train.txt').write_bytes(b'\xff\xfe\x00')
    with pytest.raises(UserError, match=r'train\.txt: cannot be read'):
        load_data(tmp_path)


def test_a_folder_that_does_not_exist_is_named(tmp_path):
    with pytest.raises(UserError, match='nowhere: no such folder; it should hold Annotations/'):
        load_data(tmp_path / 'nowhere')


def test_a_folder_without_annotations_is_told_the_layout(tmp_path):
    with pytest.raises(UserError, match=r'no Annotations/ here; .*JPEGImages/\*\.jpg'):
        load_data(tmp_path)


# class names

def test_labels_txt_gives_names_and_their_order(tmp_path):
    write(tmp_path, {'train': ['a'], 'test': ['b']}, labels='dog\ncat \n\n')
    data = load_data(tmp_path)
    assert data.label_names == ('dog', 'cat')
    assert data.train[0][2].tolist() == [1]
    assert data.notes == []


def test_without_labels_txt_the_names_of_both_splits_are_sorted_and_told(tmp_path):
    write(tmp_path, {'train': ['a'], 'test': ['b']}, a=[('yak', GOOD, 0)], b=[('ant', GOOD, 0)])
    data = load_data(tmp_path)
    assert data.label_names == ('ant', 'yak')
    assert data.notes == [f'{tmp_path}: no labels.txt; found 2 classes: ant, yak']


# the VOCdevkit

@pytest.mark.parametrize('years, train, test, note', [
    ({'VOC2007': VOC2007, 'VOC2012': VOC2012}, ['07t', '07v', '12t', '12v'], ['07e'], None),
    ({'VOC2007': VOC2007}, ['07t', '07v'], ['07e'], 'VOC2012: not here'),
    ({'VOC2012': VOC2012}, ['12t'], ['12v'], 'VOC2007: not here'),
], ids=['both years', '2007 alone', '2012 alone'])
@pytest.mark.parametrize('root', ['', 'VOCdevkit'], ids=['devkit', 'parent of devkit'])
def test_a_devkit_gives_the_papers_splits(tmp_path, root, years, train, test, note):
    for year, splits in years.items():
        write(tmp_path / root / year, splits)
    data = load_data(tmp_path)
    assert stems(data.train) == train
    assert stems(data.test) == test
    assert data.label_names == tuple(voc_bbox_label_names)
    assert data.train[0][2].tolist() == [voc_bbox_label_names.index('cat')]
    assert note in data.notes[0] if note else not data.notes


@pytest.mark.parametrize('missing', ['ImageSets/Main/test.txt', 'Annotations/07e.xml'],
                         ids=['split', 'annotations'])
@pytest.mark.parametrize('years, train', [
    (['VOC2007', 'VOC2012'], ['07t', '12t', '12v']), (['VOC2007'], ['07t']),
], ids=['both years', '2007 alone'])
def test_without_annotated_test_images_val_is_held_out(tmp_path, years, train, missing):
    for year in years:
        write(tmp_path / year, {'VOC2007': VOC2007, 'VOC2012': VOC2012}[year])
    (tmp_path / 'VOC2007' / missing).unlink()
    data = load_data(tmp_path)
    assert stems(data.train) == train
    assert stems(data.test) == ['07v']
    assert 'VOC2007: no annotated test split' in data.notes[-1]


def test_a_devkit_without_a_split_file_ends_in_an_error_that_names_it(tmp_path):
    write(tmp_path / 'VOC2012', {'train': ['12t']})
    with pytest.raises(UserError, match=r'VOC2012/ImageSets/Main/val\.txt: cannot be read'):
        load_data(tmp_path)


# difficult objects, problems

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
    data = load_data(write(tmp_path, {'train': ['a'], 'test': ['b']}, a=bad, b=bad))
    assert [problem.file.stem for problem in data.problems] == ['a', 'b']
    assert len(data.train[0][1]) == len(data.test[0][1]) == 1


def test_strict_refuses_problems_and_lists_all_of_them(tmp_path):
    bad = [('cat', GOOD, 0)] + 20 * [('cat', NO_AREA, 0)]
    write(tmp_path, {'train': ['a'], 'test': ['b']}, a=bad, b=bad)
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


# decoding

def dataset_of(path):
    return VOCDataset([Example(path, np.zeros((0, 4), np.float32), np.zeros(0, np.int32),
                               np.zeros(0, bool), (30, 40))])


@pytest.mark.parametrize('mode, colour, rgb', [
    ('RGB', (250, 120, 10), (250, 120, 10)), ('L', 77, (77, 77, 77)),
    ('CMYK', (0, 255, 255, 0), (255, 0, 0)),
])
def test_a_jpeg_decodes_to_float32_rgb(tmp_path, mode, colour, rgb):
    Image.new(mode, (40, 30), colour).save(tmp_path / 'a.jpg')
    img = dataset_of(tmp_path / 'a.jpg')[0][0]
    assert (img.shape, img.dtype) == ((3, 30, 40), np.float32)
    np.testing.assert_allclose(img.mean(axis=(1, 2)), rgb, atol=4)


@pytest.mark.parametrize('mode', ['RGB', 'RGBA', 'P', 'L', '1'])
def test_a_png_of_any_mode_decodes_to_three_channels(tmp_path, mode):
    Image.new('RGB', (40, 30), (255, 255, 255)).convert(mode).save(tmp_path / 'a.png')
    img = dataset_of(tmp_path / 'a.png')[0][0]
    np.testing.assert_array_equal(img, np.full((3, 30, 40), 255, np.float32))


def test_the_orientation_in_exif_is_ignored(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees
    Image.new('RGB', (40, 30)).save(tmp_path / 'a.jpg', exif=exif)
    assert cv2.imread(str(tmp_path / 'a.jpg')).shape == (40, 30, 3)
    assert dataset_of(tmp_path / 'a.jpg')[0][0].shape == (3, 30, 40)


def test_images_are_read_as_uint8_on_request(tmp_path):
    Image.effect_noise((40, 30), 80).save(tmp_path / 'a.png')
    dataset = dataset_of(tmp_path / 'a.png')
    img = VOCDataset(dataset.examples, np.uint8)[0][0]
    assert img.dtype == np.uint8
    np.testing.assert_array_equal(img, dataset[0][0])


@pytest.mark.parametrize('content', [b'', b'not an image', None], ids=['empty', 'text', 'missing'])
def test_an_image_that_cannot_be_decoded_is_named(tmp_path, content):
    if content is not None:
        (tmp_path / 'a.jpg').write_bytes(content)
    with pytest.raises(UserError, match=r'a\.jpg: cannot be decoded'):
        dataset_of(tmp_path / 'a.jpg')[0]


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
