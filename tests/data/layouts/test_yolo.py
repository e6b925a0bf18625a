"""The layout of YOLO: images/, labels/ and data.yaml or classes.txt."""
import os

from multibox.data import load_data
from tests.support import cases
from tests.support.cases import check, stem, yolo

import pytest

LIST, MAPPING = 'names: [bolt, nut]\nnc: 2\n', 'names:\n  0: bolt\n  1: nut\n'
SETS = 'train: images/train\nval: images/val\n'


def write(folder, content=SETS + LIST, name='data.yaml', **where):
    yolo(folder, **where)
    (folder / name).write_text(content, encoding='utf-8')
    return folder


def assert_read(result, n_train=4, n_test=2):
    assert (len(result.train), len(result.test), result.problems) == (n_train, n_test, [])
    assert result.label_names == ['bolt', 'nut']
    cases.assert_placed(result.train['im001.png'], 1, atol=0.01)


@pytest.mark.parametrize('names', [LIST, MAPPING], ids=['list', 'mapping'])
@pytest.mark.parametrize('sets', [
    SETS, 'path: .\n' + SETS, 'path: ../datasets/mine\n' + SETS,
    'train: ../train/images\nval: ../val/images\n', 'train: ./images/train/\nval: ./images/val/\n',
    'train: [images/train]\nval: [images/val]\n', 'path: /content/data\n' + SETS,
    'train: C:\\mine\\images\\train\nval: C:\\mine\\images\\val\n', SETS + 'test:\n', ''], ids=repr)
def test_ultralytics_layout(tmp_path, names, sets):
    assert_read(check(write(tmp_path, sets + names)))


@pytest.mark.parametrize('sets', ['train: ../train/images\nval: ../valid/images\n',
                                  'train: train/images\nval: valid/images\ntest: ../test/images\n',
                                  'train: ../train/images\nval: ../valid/images\nx:\n  a: 1\n'])
def test_roboflows_export(tmp_path, sets):
    write(tmp_path, sets + LIST, image='{part}/images/{stem}.png', label='{part}/labels/{stem}.txt',
          parts=('train', 'valid'))
    result = check(tmp_path)
    assert_read(result)
    assert sorted(result.test) == ['im004.png', 'im005.png']


def test_roboflows_three_parts(tmp_path):
    where = {'image': '{part}/images/{stem}.png', 'label': '{part}/labels/{stem}.txt'}
    yolo(tmp_path, **where, parts=('valid', 'test'))
    write(tmp_path, 'train: ../train/images\nval: ../valid/images\ntest: ../test/images\n' + LIST,
          **where, parts=('train', 'none'))
    for path in (tmp_path / 'none').rglob('*.*'):
        path.unlink()
    result = check(tmp_path)
    assert_read(result)
    assert sorted(result.test) == ['im004.png', 'im005.png']
    assert 'val, 4 images) is not used' in result.notes


@pytest.mark.parametrize('place', ['classes.txt', 'labels/classes.txt', 'obj.names'])
def test_a_list_of_classes_in_place_of_data_yaml(tmp_path, place):
    yolo(tmp_path, 'images/{stem}.png', 'labels/{stem}.txt')
    (tmp_path / place).write_text('bolt\r\nnut\r\n\r\n', encoding='utf-8-sig')
    result = check(tmp_path)
    assert_read(result, 5, 1)
    assert 'drawn at random' in result.notes


def test_labels_beside_their_images(tmp_path):
    yolo(tmp_path, '{stem}.png', '{stem}.txt')
    (tmp_path / 'classes.txt').write_text('bolt\nnut\n')
    result = check(tmp_path)
    assert len(result.train) + len(result.test) == 6 and result.problems == []


def test_lists_of_images(tmp_path):
    write(tmp_path, 'train: train.txt\nval: val.txt\n' + LIST)
    for part, numbers in (('train', cases.TRAIN), ('val', cases.TEST)):
        (tmp_path / f'{part}.txt').write_text(
            ''.join(f'./images/{part}/{stem(i)}.png\n' for i in numbers))
    assert_read(check(tmp_path))


def test_without_names_the_numbers_are_the_classes(tmp_path):
    result = check(yolo(tmp_path))
    assert result.label_names == ['0', '1']
    assert (len(result.train), len(result.test)) == (4, 2)
    assert 'names the classes' in result.notes


def rewrite(folder, text, part='train', i=1):
    (folder / 'labels' / part / f'{stem(i)}.txt').write_text(text)


def test_a_polygon_is_the_box_around_it(tmp_path):
    rewrite(write(tmp_path), '0 0.1 0.2 0.5 0.2 0.5 0.9 0.3 0.6\n')
    assert check(tmp_path).train['im001.png']['bbox'] == [pytest.approx([24, 16, 108, 80], abs=.01)]


def test_a_sixth_column_is_a_confidence(tmp_path):
    rewrite(write(tmp_path), '1 0.5 0.5 0.25 0.5 0.93\n')
    assert check(tmp_path).train['im001.png']['bbox'] == [pytest.approx([30, 60, 90, 100], abs=.01)]


@pytest.mark.parametrize('line', [
    '0 0.5 0.5 0 0.1', '0 0.5 0.5 -0.1 0.1', '0 0.5', 'bolt 0.5 0.5 0.1 0.1', '0 nan 0.5 0.1 0.1',
    '-1 0.5 0.5 0.1 0.1', '0.5 0.5 0.5 0.1 0.1', '0 80 60 40 30', '0 2.5 0.5 0.1 0.1', '0',
    '1e999 0.5 0.5 0.1 0.1', '0 inf 0.5 0.1 0.1', '0,0.5,0.5,0.1,0.1'])
def test_a_line_that_cannot_be_used_is_listed_by_its_number(tmp_path, line):
    rewrite(write(tmp_path), f'1 0.5 0.5 0.1 0.1\n\n{line}\n')
    result = check(tmp_path)
    assert sorted(result.train) == ['im000.png', 'im002.png', 'im003.png']
    assert [problem['object'] for problem in result.problems] == [3]
    assert result.problems[0]['file'].endswith('labels/train/im001.txt')


def test_a_class_out_of_range_is_ignored_with_a_note(tmp_path):
    rewrite(write(tmp_path), '1 0.5 0.5 0.5 0.5\n7 0.5 0.5 0.25 0.5\n')
    result = check(tmp_path)
    example = result.train['im001.png']
    assert (example['label'], example['ignored']) == (['nut'], [[30, 60, 90, 100]])
    assert "1 objects of class 'class 7' are ignored" in result.notes


def test_a_box_beyond_the_image_is_cut_with_a_note(tmp_path):
    rewrite(write(tmp_path), '1 0.95 0.5 0.2 0.5\n')
    result = check(tmp_path)
    assert result.train['im001.png']['bbox'] == [pytest.approx([30, 136, 90, 160], abs=.01)]
    assert 'im001.txt, object 1: the box reaches outside' in result.notes


@pytest.mark.parametrize('text', ['', None, '\n\n'], ids=['empty', 'absent', 'blank'])
def test_an_image_without_lines_has_no_object(tmp_path, text):
    write(tmp_path)
    (tmp_path / 'labels/train/im001.txt').unlink()
    if text is not None:
        rewrite(tmp_path, text)
    result = check(tmp_path)
    assert (len(result.train), result.train['im001.png']['bbox']) == (4, [])
    assert ('1 images have no label file' in result.notes) == (text is None)


def test_all_sizes_of_images_give_pixels(tmp_path):
    write(tmp_path)
    image = cases.paint(cases.objects(1)).resize((480, 360))
    cases.save(tmp_path / 'images/train/im001.png', image)
    cases.assert_placed(check(tmp_path).train['im001.png'], 1, 3, atol=0.01)


def test_boxes_are_on_their_colours(tmp_path):
    cases.assert_on_colours(load_data(write(tmp_path)), 6, atol=0.01)


@pytest.mark.parametrize('content, match', [
    ('names: [bolt, bolt]\n', 'names bolt twice'), ('names: 3\n', 'names is neither'),
    ('names: [bolt\n', 'cannot be read as YAML'), ('names:\n  a: bolt\n', 'names is neither'),
    ('names: []\n', 'names is neither'), ('names: [[bolt]]\n', 'names is neither')])
def test_a_faulty_data_yaml_is_named(tmp_path, content, match):
    error = check(write(tmp_path, SETS + content)).error
    assert error.startswith(str(tmp_path / 'data.yaml')) and match in error


def test_a_faulty_label_file_is_listed(tmp_path):
    (write(tmp_path) / 'labels/train/im001.txt').write_bytes(b'\xff\xfe0 0.5')
    result = check(tmp_path)
    assert (len(result.train), len(result.problems)) == (3, 1)


def test_yaml_runs_nothing(tmp_path):
    path = tmp_path / 'touched'
    write(tmp_path, f'names: !!python/object/apply:os.mkdir ["{path}"]\n')
    check(tmp_path)
    assert not path.exists()


@pytest.mark.parametrize('names', ['[on, off]', '[yes, no]', '[1, 007]', '[null, ~]',
                                   '[1e3, 2020-01-02]'])
def test_names_stay_as_they_are_written(tmp_path, names):
    write(tmp_path, f'{SETS}names: {names}\n')
    assert check(tmp_path).label_names == names[1:-1].split(', ')


def test_rounded_shares_at_the_border_are_not_noted(tmp_path):
    rewrite(write(tmp_path), '0 0.124999 0.5 0.25 0.3333339\n1 0.8750005 0.5 0.25 0.2\n')
    assert 'cut at the edges' not in check(tmp_path).notes


@pytest.mark.parametrize('name', ['labels/train/im001.txt', 'images/train/im001.png'])
@pytest.mark.parametrize('make', [os.mkfifo, os.mkdir], ids=['fifo', 'folder'])
def test_what_is_no_regular_file_is_listed(tmp_path, name, make):
    (write(tmp_path) / name).unlink()
    make(tmp_path / name)
    result = check(tmp_path)
    assert len(result.train) == 3 and len(result.problems) == 1


@pytest.mark.parametrize('name', ['data.yaml', 'x.yml', 'x.csv', 'x.json'])
def test_a_fifo_beside_the_images_does_not_stop_the_check(tmp_path, name):
    yolo(tmp_path)
    os.mkfifo(tmp_path / name)
    assert len(check(tmp_path).train) == 4


def test_a_label_file_whose_image_is_missing_is_listed(tmp_path):
    (write(tmp_path) / 'images/train/im001.png').unlink()
    (problem,) = check(tmp_path).problems
    assert problem == {'file': str(tmp_path / 'labels/train/im001.txt'), 'object': None,
                       'reason': 'image file is missing'}


def test_aliases_and_large_numbers_in_data_yaml_do_not_explode(tmp_path):
    levels = 'a0: &a0 [x, x]\n' + ''.join(
        f'a{n}: &a{n} [{", ".join(9 * [f"*a{n - 1}"])}]\n' for n in range(1, 12))
    write(tmp_path, f'{levels}path: *a11\ntrain: [*a11]\nval: *a11\nnames: [*a11]\n')
    assert 'names is neither' in check(tmp_path).error
    (tmp_path / 'data.yaml').write_text('names: {0: bolt, 1: nut, 999999999999: cog}\n')
    assert 'number the classes from 0' in check(tmp_path).error


def test_a_set_in_the_folder_comes_before_one_beside_it(tmp_path):
    where = {'image': '{part}/images/{stem}.png', 'label': '{part}/labels/{stem}.txt'}
    yolo(tmp_path, **where)
    write(tmp_path / 'export', 'train: ../train/images\nval: ../val/images\n' + LIST, **where)
    train = check(tmp_path / 'export').train
    assert all('export' in example['image'] for example in train.values())
