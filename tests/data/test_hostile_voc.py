"""Annotation files and lists that are made to exhaust memory or time, or to stop the reader."""
import os
import time

from multibox.data import load, load_data
from multibox.data.classes import MAX_CLASSES
from multibox.data.listing import Tree, resolve, walk
from multibox.data.voc_xml import read_xml
from multibox.errors import UserError
from tests.support.cases import check, raw_object, stem, voc, xml

import pytest


@pytest.mark.parametrize('content, reason', [
    (b'<annotation>' + 3_000_000 * b'<a>', 'more than 500,000 elements'),
    (b'<annotation ' + b' '.join(b'a%d=""' % n for n in range(600_000)) + b'/>', 'or attributes'),
    (1000 * b'<annotation>' + 1000 * b'</annotation>', 'nested more than 100 deep'),
    (b'<annotation xmlns="' + 10 ** 6 * b'x' + b'"><a/></annotation>', 'namespace'),
    ((10 ** 6 * b'x').join([b'<', b'/>']), 'its root is <xxx'),
    (b'<?xml version="1.0" encoding="utf-7"?><annotation/>', 'its encoding is utf-7'),
    (b'<annotation/>\0', 'cannot be read'), (b'<annotation>&#0;</annotation>', 'cannot be read'),
    ('<annotation/>'.encode('utf-32'), 'cannot be read')],
    ids=['elements', 'attributes', 'depth', 'namespace', 'name', 'codec', 'NUL', 'reference',
         'UTF-32'])
def test_a_hostile_file_is_refused_with_a_short_reason(tmp_path, content, reason):
    path = tmp_path / 'a.xml'
    path.write_bytes(content)
    start = time.process_time()
    fault = read_xml(path, None).fault
    assert fault[0] == path and reason in fault[1] and len(fault[1]) < 300
    assert time.process_time() - start < 2


def test_a_large_file_is_not_read(tmp_path):
    (tmp_path / 'a.xml').touch()
    os.truncate(tmp_path / 'a.xml', 2 ** 40)
    assert 'is larger than' in read_xml(tmp_path / 'a.xml', None).fault[1]


@pytest.mark.parametrize('length, shown', [(10_000, '10,000 characters'), (201, '201')])
def test_a_long_class_name_is_a_problem_of_its_object(tmp_path, length, shown):
    content = xml(raw_object(length * 'x', 1, 1, 9, 9))
    (voc(tmp_path) / 'Annotations/im001.xml').write_text(content)
    result = check(tmp_path)
    assert result.label_names == ['bolt', 'nut'] and len(result.train) == 3
    assert shown in result.problems[0]['reason'] and result.problems[0]['object'] == 1


@pytest.mark.parametrize('text', ['1e400', 'nan', '\uff11\uff12', '9' * 5000, '0x10', '1_000',
                                  '\u0661'],
                         ids=['huge', 'nan', 'wide digits', 'long', 'hex', 'underscore', 'Arabic'])
def test_a_coordinate_that_is_no_number_is_a_problem(tmp_path, text):
    (voc(tmp_path) / 'Annotations/im001.xml').write_text(
        xml(raw_object('nut', 1, 1, text, 9)), encoding='utf-8')
    result = check(tmp_path)
    assert 'im001.png' not in result.train and len(result.problems) == 1
    assert len(str(result.problems[0])) < 400


def test_too_many_objects_in_one_image_are_a_problem(tmp_path):
    (voc(tmp_path) / 'Annotations/im001.xml').write_text(
        xml(10_001 * raw_object('nut', 1, 1, 9, 9)))
    result = check(tmp_path)
    assert len(result.train) == 3
    assert result.problems[0]['reason'].startswith('holds 10,001 objects of im001.png')


def test_too_many_classes_are_refused(tmp_path):
    voc(tmp_path)
    for i in range(2):
        (tmp_path / f'Annotations/{stem(i)}.xml').write_text(xml(''.join(
            raw_object(f'{i} {n}', 1, 1, 9, 9) for n in range(MAX_CLASSES // 2))))
    with pytest.raises(UserError, match=f'{tmp_path}: has 10,002 classes'):
        load_data(tmp_path)


@pytest.mark.parametrize('name', ['labels.txt', 'ImageSets/Main/trainval.txt'])
@pytest.mark.parametrize('make', [os.mkfifo, os.mkdir, lambda path: path.symlink_to(path)],
                         ids=['pipe', 'folder', 'link to itself'])
def test_a_list_that_is_no_regular_file_is_refused_by_name(tmp_path, name, make):
    (voc(tmp_path) / name).unlink(missing_ok=True)
    make(tmp_path / name)
    (line,) = check(tmp_path).error.splitlines()
    assert line.startswith(str(tmp_path / name))


@pytest.mark.parametrize('name', ['x.json', 'x.csv', 'x.yaml'])
def test_a_pipe_beside_the_images_is_named(tmp_path, name):
    os.mkfifo(voc(tmp_path) / name)
    assert f'{tmp_path / name}: is not a regular file; it was not read' in check(tmp_path).notes


def test_folders_nested_too_deeply_are_refused(tmp_path):
    path = tmp_path.joinpath(*200 * ['d'])
    path.mkdir(parents=True)
    with pytest.raises(UserError, match='nested more than 100 deep'):
        walk(tmp_path)
    assert len(check(tmp_path).error.splitlines()) == 1


def test_a_folder_that_cannot_be_listed_is_named(tmp_path, monkeypatch):
    def refuse(path):
        raise PermissionError(13, 'Permission denied', str(path))

    voc(tmp_path)
    monkeypatch.setattr(os, 'scandir', refuse)
    (line,) = check(tmp_path).error.splitlines()
    assert line.startswith(f'{tmp_path}: cannot be read') and 'Permission denied' in line


def test_a_line_of_spaces_takes_no_time():
    start = time.process_time()
    assert resolve('a' + 10 ** 6 * ' ' + 'b', {'c'}).startswith('a ')
    assert time.process_time() - start < 0.5


def test_many_images_of_one_name_beside_their_annotations_are_found_fast(tmp_path):
    for n in range(600):
        (tmp_path / str(n)).mkdir()
        (tmp_path / str(n) / 'a.jpg').touch()
    tree = Tree(tmp_path)
    start = time.process_time()
    for n in range(600):
        assert tree.nearest('a', tmp_path / str(n) / 'a.xml') == [tmp_path / str(n) / 'a.jpg']
    assert time.process_time() - start < 1


def test_remarks_on_boxes_are_limited(tmp_path, monkeypatch):
    monkeypatch.setattr(load, 'MAX_STRICT', 3)
    (voc(tmp_path) / 'Annotations/im001.xml').write_text(
        xml(5 * raw_object('nut', -50, -50, 9, 9)))
    notes = load_data(tmp_path).notes
    assert sum('was cut at the edges' in note for note in notes) == 3
    assert f'{tmp_path}: 2 more boxes or sizes were adapted' in notes


def test_classes_that_are_not_listed_are_counted_beyond_a_number(tmp_path):
    (voc(tmp_path) / 'Annotations/im001.xml').write_text(xml(''.join(
        raw_object(f'cog {n}', 1, 1, 9, 9) for n in range(30))))
    (tmp_path / 'labels.txt').write_text('bolt\nnut\n')
    notes = check(tmp_path).notes
    assert notes.count('objects of class') == 20 and 'the objects of 10 more classes' in notes


def test_the_folder_of_the_images_alone_names_the_one_above(tmp_path):
    error = check(voc(tmp_path) / 'JPEGImages').error
    assert error.endswith(f'such as {tmp_path}') and len(error) < 400


def test_one_part_of_a_data_set_names_the_others(tmp_path):
    for part in 'train', 'valid':
        voc(tmp_path / part, lists=False)
    assert 'valid beside it are not used' in check(tmp_path / 'train').notes
