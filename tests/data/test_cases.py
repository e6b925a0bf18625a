"""Folders as users have them: each situation, and what is right in it.

The folders have six images, im000 to im003 to train and im004 and im005 to test.
"""
import os
import unicodedata

from tests.support import cases
from tests.support.cases import check, raw_object, stem, voc, write_lists, xml, xml_object

import pytest
from PIL import Image

GOOD = xml_object(*cases.objects(0)[0])


def rename(folder, new_stem, i):
    for part, suffix in (('Annotations', '.xml'), ('JPEGImages', '.png')):
        (folder / part / f'{stem(i)}{suffix}').rename(folder / part / f'{new_stem}{suffix}')


def annotate(folder, i, inner, size=cases.SIZE):
    (folder / 'Annotations' / f'{stem(i)}.xml').write_text(xml(inner, size))


def names(result):
    return sorted(result.train), sorted(result.test)


# names and lists

@pytest.mark.parametrize('name', [
    'photo (1)', 'Screenshot 2020-01-02 at 10.30.15', '100%', "it's", 'a "quote"', '日本語', 'a,b',
    '-1', 'x 1', '.hidden', 'name.with.dots', 'ends in .jpg', '#hash', 'tab\there'])
def test_a_name_of_any_kind_is_found(tmp_path, name):
    voc(tmp_path, lists=False)
    rename(tmp_path, name, 0)
    write_lists(tmp_path, trainval=[name, *map(stem, range(1, 4))], test=map(stem, cases.TEST))
    result = check(tmp_path)
    assert result.problems == [] and f'{name}.png' in result.train and len(result.train) == 4


def test_copies_of_a_name_with_numbers_are_different_images(tmp_path):
    voc(tmp_path, lists=False)
    copies = ['photo', *(f'photo ({n})' for n in range(1, 6))]
    for i, name in enumerate(copies):
        rename(tmp_path, name, i)
    write_lists(tmp_path, trainval=copies[:4], test=copies[4:])
    result = check(tmp_path)
    assert names(result) == (sorted(f'{name}.png' for name in copies[:4]),
                             [f'{name}.png' for name in copies[4:]])


@pytest.mark.parametrize('form', ['{0} 1', '{0}  -1', '{0}\t0', '{0}.png', '{0}.png 1', '{0}.jpg',
                                  '  {0}  ', '{0}\r', '\ufeff{0}', '{0} +1'])
def test_forms_of_lines(tmp_path, form):
    voc(tmp_path)
    write_lists(tmp_path, trainval=[form.format(stem(0)), *map(stem, range(1, 4))])
    assert names(check(tmp_path))[0] == [f'{stem(i)}.png' for i in cases.TRAIN]


@pytest.mark.parametrize('lines', [
    2 * ['im000', 'im001'], ['im000.png 1', 'im000.png -1', 'im001']], ids=['twice', 'with flags'])
def test_an_id_that_is_listed_twice_counts_once_with_a_note(tmp_path, lines):
    write_lists(voc(tmp_path), trainval=lines)
    result = check(tmp_path)
    assert sorted(result.train) == ['im000.png', 'im001.png']
    assert 'listed more than once' in result.notes


@pytest.mark.parametrize('disk, listed', [('NFD', 'NFC'), ('NFC', 'NFD')])
def test_forms_of_unicode_are_one_name(tmp_path, disk, listed):
    voc(tmp_path, lists=False)
    rename(tmp_path, unicodedata.normalize(disk, 'Äpfel'), 0)
    write_lists(tmp_path, trainval=[unicodedata.normalize(listed, 'Äpfel'), 'im001'],
                test=['im004'])
    result = check(tmp_path)
    assert len(result.train) == 2 and result.problems == []


@pytest.mark.parametrize('suffix', ['.Jpg', '.bmp', '.webp', '.tif', '.TIFF', '.jpeg'])
def test_suffixes(tmp_path, suffix):
    result = check(voc(tmp_path, suffix))
    assert (len(result.train), len(result.test)) == (4, 2)
    cases.assert_placed(result.train[f'im001{suffix}'], 1)


def test_two_files_of_one_stem_have_a_note(tmp_path):
    cases.save(voc(tmp_path) / 'JPEGImages/im001.bmp', cases.paint(cases.objects(1)))
    result = check(tmp_path)
    assert len(result.train) == 4
    assert 'im001.bmp: there are also im001.png; the first is used' in result.notes


def test_three_lists_train_and_evaluate_and_a_note_names_the_third(tmp_path):
    write_lists(voc(tmp_path, lists=False), train=['im000', 'im001'], val=['im002'],
                test=['im004'])
    result = check(tmp_path)
    assert names(result) == (['im000.png', 'im001.png'], ['im004.png'])
    assert 'val.txt is not used' in result.notes


def test_without_lists_the_images_are_divided_alike_in_every_run(tmp_path):
    voc(tmp_path, lists=False)
    result = check(tmp_path)
    assert (len(result.train), len(result.test)) == (5, 1)
    assert '5 images to train and 1 to evaluate were drawn at random' in result.notes
    assert names(check(tmp_path)) == names(result)


# boxes

@pytest.mark.parametrize('i', [0, 4], ids=['train', 'test'])
def test_boxes_at_and_beyond_the_border_are_cut(tmp_path, i):
    boxes = [(100, 30, 161, 90), (0, 32, 13, 49), (150, 20, 160, 34), (-20, -20, 50, 50),
             (118, 90, 400, 900)]
    annotate(voc(tmp_path), i, ''.join(raw_object('nut', *box) for box in boxes))
    result = check(tmp_path)
    example = {**result.train, **result.test}[f'{stem(i)}.png']
    assert example['bbox'] == [[29, 99, 89, 160], [31, 0, 48, 12], [19, 149, 33, 159],
                               [0, 0, 49, 49], [89, 117, 120, 160]]
    assert result.problems == []
    assert [f'{stem(i)}.xml, object {n},' in result.notes for n in range(1, 6)] == [
        False, False, False, True, True]


@pytest.mark.parametrize('box', [
    (50, 20, 10, 60), ('nan', 20, 50, 60), ('', 20, 50, 60), (0.1, 0.2, 0.5, 0.6),
    (0, 0, 1, 1), (200, 20, 240, 60), (20, 20, 20, 60), ('1e999', 1, 5, 5)],
    ids=['inverted', 'nan', 'empty', 'fractions', 'unit square', 'outside', 'no area', 'inf'])
def test_an_image_with_a_box_that_cannot_be_used_is_not_trained_on(tmp_path, box):
    annotate(voc(tmp_path), 1, GOOD + raw_object('nut', *box))
    result = check(tmp_path)
    assert sorted(result.train) == ['im000.png', 'im002.png', 'im003.png']
    (problem,) = result.problems
    assert problem['file'].endswith('Annotations/im001.xml') and problem['object'] == 2
    if box[-1] in (0.6, 1):
        assert 'fractions' in problem['reason']


@pytest.mark.parametrize('factor', [2, 1 / 2, 3])
def test_a_size_of_the_same_aspect_scales_the_boxes_with_a_note(tmp_path, factor):
    cases.save(voc(tmp_path) / 'JPEGImages/im001.png', cases.paint(cases.objects(1)).resize(
        [round(side * factor) for side in cases.SIZE]))
    result = check(tmp_path)
    assert result.problems == []
    cases.assert_placed(result.train['im001.png'], 1, factor, atol=factor + 0.1)
    assert result.notes.count('the boxes were scaled') == 1 and 'size 160 x 120' in result.notes


@pytest.mark.parametrize('size', [(120, 160), (220, 120), (161, 160)])
def test_a_size_of_another_shape_is_a_problem(tmp_path, size):
    annotate(voc(tmp_path), 1, cases.objects(1), size)
    result = check(tmp_path)
    assert (len(result.train), len(result.test)) == (3, 2)
    (problem,) = result.problems
    assert problem['file'].endswith('im001.png') and problem['object'] is None


# image files

def truncate(path, share):
    content = path.read_bytes()
    path.write_bytes(content[:int(len(content) * share)])


@pytest.mark.parametrize('suffix', ['.jpg', '.png', '.bmp', '.webp', '.tif'])
@pytest.mark.parametrize('share', [0.1, 0.5, 0.9])
def test_a_truncated_image_is_listed_and_in_no_set(tmp_path, suffix, share):
    folder = voc(tmp_path, suffix)
    for i in (1, 5):
        noise = Image.effect_noise(cases.SIZE, 50).convert('RGB')
        cases.save(folder / f'JPEGImages/{stem(i)}{suffix}', noise)
        truncate(folder / f'JPEGImages/{stem(i)}{suffix}', share)
    result = check(folder)
    assert (len(result.train), len(result.test)) == (3, 1)
    assert [problem['file'].rpartition('/')[2] for problem in result.problems] == [
        f'im001{suffix}', f'im005{suffix}']


@pytest.mark.parametrize('content', [b'', b'<!DOCTYPE html><html>no</html>', b'\xff\xd8\xff\xe0',
                                     b'\x89PNG\r\n\x1a\n'],
                         ids=['empty', 'web page', 'start of JPEG', 'start of PNG'])
def test_a_file_that_is_no_image_is_listed(tmp_path, content):
    (voc(tmp_path, '.jpg') / 'JPEGImages/im001.jpg').write_bytes(content)
    result = check(tmp_path)
    assert len(result.train) == 3 and result.problems[0]['file'].endswith('im001.jpg')


def test_an_image_of_too_many_pixels_is_listed_with_its_size(tmp_path):
    Image.new('1', (15000, 15000)).save(voc(tmp_path) / 'JPEGImages/im001.png')
    annotate(tmp_path, 1, GOOD, None)
    (problem,) = check(tmp_path).problems
    assert problem['file'].endswith('im001.png') and '15000 x 15000 pixels' in problem['reason']


@pytest.mark.parametrize('make', [os.mkfifo, os.mkdir], ids=['fifo', 'folder'])
@pytest.mark.parametrize('name', ['JPEGImages/im001.png', 'Annotations/im001.xml'])
def test_what_is_no_regular_file_is_listed_at_once(tmp_path, make, name):
    (voc(tmp_path) / name).unlink()
    make(tmp_path / name)
    result = check(tmp_path)
    assert len(result.train) == 3
    assert [problem['file'] for problem in result.problems] == [str(tmp_path / name)]


# classes

def test_objects_of_a_class_that_labels_txt_leaves_out_are_ignored(tmp_path):
    (voc(tmp_path) / 'labels.txt').write_text('bolt\n')
    result = check(tmp_path)
    assert (len(result.train), len(result.test), result.problems) == (4, 2, [])
    example = result.train['im001.png']
    assert example['label'] == ['bolt']
    assert example['ignored'] == [[52, 80, 96, 129]]
    assert result.notes.count("6 objects of class 'nut' are ignored") == 1


def test_classes_that_differ_in_case_only_have_a_note(tmp_path):
    annotate(voc(tmp_path), 1, GOOD.replace('bolt', 'Bolt'))
    result = check(tmp_path)
    assert sorted(result.label_names) == ['Bolt', 'bolt', 'nut']
    assert 'Bolt and bolt differ in upper and lower case only' in result.notes


@pytest.mark.parametrize('name', ['BACKGROUND', 'background', '__background__', '_background_'])
def test_a_line_for_the_background_is_no_class(tmp_path, name):
    (voc(tmp_path) / 'labels.txt').write_text(f'{name}\nbolt\n\nnut \n', encoding='utf-8-sig')
    result = check(tmp_path)
    assert result.label_names == ['bolt', 'nut']
    assert 'background is not counted as a class' in result.notes


@pytest.mark.parametrize('text, match', [('bolt\nnut\nbolt\n', 'names bolt twice'),
                                         ('\n\n', 'names no class')])
def test_a_faulty_labels_txt_is_an_error(tmp_path, text, match):
    (voc(tmp_path) / 'labels.txt').write_text(text)
    assert match in check(tmp_path).error


def test_difficult_objects_are_counted_in_a_note(tmp_path):
    mark = '<difficult>1</difficult>'
    annotate(voc(tmp_path), 1, GOOD + xml_object(*cases.objects(1)[1], rest=mark))
    result = check(tmp_path)
    assert result.train['im001.png']['difficult'] == [False, True]
    assert '1 objects marked difficult are not trained on' in result.notes


def test_if_all_objects_are_difficult_the_error_names_the_flag(tmp_path):
    for path in (voc(tmp_path) / 'Annotations').iterdir():
        path.write_text(path.read_text().replace('<bndbox>', '<difficult>1</difficult><bndbox>'))
    assert 'give --difficult' in check(tmp_path).error
    assert len(check(tmp_path, '--difficult').train) == 4


def test_own_classes_under_voc2007_say_how_to_go_on(tmp_path):
    voc(tmp_path / 'VOC2007')
    assert f'give --data {tmp_path / "VOC2007"}, or write labels.txt' in check(tmp_path).error
    (tmp_path / 'VOC2007/labels.txt').write_text('bolt\nnut\n')
    result = check(tmp_path)
    assert (len(result.train), result.label_names) == (4, ['bolt', 'nut'])
    assert "gives the classes, instead of VOC's own 20" in result.notes


def test_if_no_class_is_named_the_error_says_so(tmp_path):
    (voc(tmp_path) / 'labels.txt').write_text('Bolt\nNut\n')
    assert '8 objects have other classes than Bolt, Nut' in check(tmp_path).error


def test_forms_of_unicode_are_one_class(tmp_path):
    for path in (voc(tmp_path) / 'Annotations').iterdir():
        path.write_text(path.read_text().replace('nut', 'Mu\u0308ller'), encoding='utf-8')
    (tmp_path / 'labels.txt').write_text('bolt\nM\xfcller\n', encoding='utf-8')
    result = check(tmp_path)
    assert result.train['im001.png']['label'] == ['bolt', 'M\xfcller']
