"""The layout of VOC: splits, class names and the VOCdevkit."""
from multibox.data import load_data
from multibox.errors import UserError
from tests.support.voc import GOOD, VOC2007, VOC2012, stems, write

import pytest
from chainercv.datasets import voc_bbox_label_names

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


def test_a_folder_with_a_training_list_only_is_divided(tmp_path):
    data = load_data(write(tmp_path, {'train': list('abcdefghij')}))
    assert (len(data.train), len(data.test)) == (8, 2)
    assert stems(load_data(tmp_path, train=False).test) == stems(data.test)


@pytest.mark.parametrize('splits, found', [
    ({'test': ['a']}, r'holds test\.txt'),
    ({'trainval': ['a'], 'val': ['b']}, r'holds trainval\.txt, val\.txt'),
], ids=['test alone', 'nothing to test on'])
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
    with pytest.raises(UserError, match=r'no annotations found; .*JPEGImages/\*\.jpg'):
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
