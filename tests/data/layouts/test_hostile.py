"""COCO, YOLO and tables that are made to exhaust memory or time, or to stop the reader."""
import json
import os

from multibox.data import load_data
from multibox.data.layouts import coco_json, table, yolo_names
from multibox.errors import UserError
from tests.support import cases
from tests.support.cases import check, coco, coco_content, stem, yolo

import pytest

INSTANCES = 'annotations/instances_train.json'


def error_of(folder):
    with pytest.raises(UserError) as error:
        load_data(folder)
    return str(error.value)


def with_json(folder, text):
    (coco(folder) / INSTANCES).write_text(text)
    return folder


@pytest.mark.parametrize('text, reason', [
    (10 ** 5 * '[', 'nested too deeply'), (10 ** 5 * '{"a":', 'nested too deeply'),
    ('', 'Expecting value'), ('{"images": [], "annotations": []}', 'categories is no list'),
    ('{"images": [], "images": [], "annotations": [], "categories": []}', "'images' occurs twice"),
    ('{"images": [], "annotations": [], "categories": [{"id": 1}]}', 'category 1: it has no name')],
    ids=['deep', 'deep objects', 'empty', 'no categories', 'key twice', 'no name'])
def test_a_file_that_is_no_coco_file_is_named_with_a_reason(tmp_path, text, reason):
    (line,) = error_of(with_json(tmp_path, text)).splitlines()
    assert line.startswith(f'{tmp_path / INSTANCES}: ') and reason in line and len(line) < 400


def test_a_file_of_gigabytes_is_not_read(tmp_path):
    os.truncate(coco(tmp_path) / INSTANCES, coco_json.MAX_BYTES + 1)
    assert 'is larger than 2,147,483,648 bytes' in error_of(tmp_path)


@pytest.mark.parametrize('name', ['\ud800', None, True, [], {}, 'x' * 201, '', ' '], ids=ascii)
def test_a_category_whose_name_is_none_is_an_error(tmp_path, name):
    error = error_of(coco(tmp_path, lambda content: content['categories'][0].update(name=name)))
    assert 'instances_train.json: not a readable file of COCO' in error
    assert 'category 1: ' in error and len(error) < 500


@pytest.mark.parametrize('value', [None, True, [], {}, float('nan'), 10 ** 400], ids=str)
@pytest.mark.parametrize('key', ['id', 'image_id', 'category_id'])
def test_an_id_of_another_type_is_listed_or_ignored(tmp_path, key, value):
    def change(content):
        entries = content['images' if key == 'id' else 'annotations']
        entries[0][key] = value

    result = check(coco(tmp_path, change))
    assert result.error is None and (result.problems or 'are ignored' in result.notes)
    assert all(len(problem['reason']) < 300 for problem in result.problems)


@pytest.mark.parametrize('mark', [[], {}, float('nan'), 2, 'yes'], ids=str)
def test_an_iscrowd_that_is_no_mark_is_a_problem(tmp_path, mark):
    result = check(coco(tmp_path, lambda content: content['annotations'][0].update(iscrowd=mark)))
    assert 'neither 0 nor 1' in result.problems[0]['reason']


@pytest.mark.parametrize('bbox', ['1234', {'1': 1, '2': 2, '3': 3, '4': 4}, [True, 1, 9, 9],
                                  ['1_0', 1, 9, 9], [[1], 1, 9, 9]], ids=str)
def test_a_bbox_of_another_type_is_a_problem(tmp_path, bbox):
    result = check(coco(tmp_path, lambda content: content['annotations'][0].update(bbox=bbox)))
    assert 'bbox is not four numbers' in result.problems[0]['reason']


def test_a_number_of_many_digits_spoils_its_image_only(tmp_path):
    text = json.dumps(coco_content(cases.TRAIN)).replace('"id": 3,', f'"id": {5000 * "9"},')
    assert len(check(with_json(tmp_path, text)).train) == 3


@pytest.mark.parametrize('key, value', [('file_name', 'x/' * 5000), ('file_name', '\ud800.png'),
                                        ('supercategory', [])], ids=['long', 'surrogate', 'list'])
def test_other_values_are_listed_or_do_not_matter(tmp_path, key, value):
    part = 'categories' if key == 'supercategory' else 'images'
    result = check(coco(tmp_path, lambda content: content[part][1].update({key: value})))
    assert len(result.train) == (4 if part == 'categories' else 3)


def test_a_faulty_image_whose_id_is_a_text_is_listed(tmp_path):
    result = check(coco(tmp_path, lambda content: content['images'][1].update(
        id=str(content['images'][1]['id']), file_name=None)))
    assert len(result.train) == 3 and 'file_name is None' in result.problems[0]['reason']


# YOLO

def with_yaml(folder, text):
    (yolo(folder) / 'data.yaml').write_text(text, encoding='utf-8', errors='surrogatepass')
    return folder


@pytest.mark.parametrize('text, reason', [
    ('names: ' + 10 ** 3 * '[', 'nested too deeply'), ('names: "\\ud800"', 'names is neither'),
    ('names: ["\\ud800"]', 'no valid Unicode'), (f'names: [{201 * "x"}]', '201 characters'),
    ('nc: 3000000\nnames: {0: a, 1000000000: b}', 'number the classes from 0'),
    ('names: {-1: a, 0: b}', 'names is neither'), (f'names: {{{"9" * 500}: a}}', 'number the'),
    ('names: {\uff11: a}', 'names is neither'), (f'names: [{", ".join(map(str, range(10_001)))}]',
                                            'has 10,001 classes')],
    ids=['deep', 'text', 'surrogate', 'long', 'nc', 'negative', 'digits', 'wide digits', 'many'])
def test_a_hostile_data_yaml_is_named_with_a_reason(tmp_path, text, reason):
    (line,) = error_of(with_yaml(tmp_path, text)).splitlines()
    assert line.startswith(f'{tmp_path / "data.yaml"}: ') and reason in line and len(line) < 400


def test_a_large_data_yaml_is_not_read(tmp_path):
    os.truncate(with_yaml(tmp_path, 'names: [a]') / 'data.yaml', yolo_names.MAX_BYTES + 1)
    assert 'is larger than' in error_of(tmp_path)


def test_a_folder_that_is_named_often_is_read_once(tmp_path, monkeypatch):
    with_yaml(tmp_path, f'names: [a, b]\ntrain: [{", ".join(500 * ["images/train"])}]\n'
              'val: images/val\n')
    assert len(check(tmp_path).train) == 4


@pytest.mark.parametrize('line', ['1000000000 0.5 0.5 0.1 0.1', '1e308 0.5 0.5 0.1 0.1',
                                  '0 0.5 0.5 0.1 1_0', '0 \uff10 0.5 0.1 0.1'])
def test_a_number_that_is_no_class_or_share_is_a_problem(tmp_path, line):
    (yolo(tmp_path) / f'labels/train/{stem(1)}.txt').write_text(line, encoding='utf-8')
    result = check(tmp_path)
    assert len(result.train) == 3 and result.label_names == ['0', '1']


@pytest.mark.parametrize('name', ['classes.txt', 'val.txt'])
def test_a_pipe_that_data_yaml_needs_is_refused_by_name(tmp_path, name):
    yolo(tmp_path)
    if name == 'val.txt':
        (tmp_path / 'data.yaml').write_text('names: [a, b]\ntrain: images/train\nval: val.txt\n')
    os.mkfifo(tmp_path / name)
    assert error_of(tmp_path).startswith(str(tmp_path / name))


def test_a_class_for_the_background_has_a_note(tmp_path):
    with_yaml(tmp_path, 'names: [background, nut]\n')
    assert "the class 'background' is trained on like the others" in check(tmp_path).notes


# tables

def with_table(folder, rows):
    cases.save(folder / 'a.png', cases.paint(cases.objects(0)))
    (folder / 'a.csv').write_text(f'filename,class,xmin,ymin,xmax,ymax\n{rows}', encoding='utf-8')
    return folder


@pytest.mark.parametrize('rows, reason', [
    ('"' + 10 ** 5 * 'x,\n', 'field larger than field limit'),
    (f'{"x" * 200_000},c,1,1,9,9\n', 'field larger than field limit')], ids=['quote', 'field'])
def test_a_table_that_cannot_be_read_is_named(tmp_path, rows, reason):
    (line,) = error_of(with_table(tmp_path, rows)).splitlines()
    assert line.startswith(f'{tmp_path / "a.csv"}: ') and reason in line


def test_a_table_of_too_many_lines_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(table, 'MAX_LINES', 3)
    assert 'more than 3 lines' in error_of(with_table(tmp_path, 5 * 'a.png,c,1,1,9,9\n'))


def test_a_long_name_and_a_nul_in_a_table_are_listed(tmp_path):
    rows = f'a.png,c,1,1,9,9\na\0b.png,c,1,1,9,9\n{"x" * 10_000},c,1,1,9,9\n'
    result = check(with_table(tmp_path, rows))
    assert len(result.train) == 1 and len(result.problems) == 2


def test_the_settings_of_a_run_are_no_coco(tmp_path):
    (tmp_path / 'settings.json').write_text('{"images": 9, "annotations": 123, "model": "slim300"}')
    assert coco_json.load(tmp_path / 'settings.json', strict=False) is None
