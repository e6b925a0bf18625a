"""One annotation file: what can be read of it, and what is listed instead."""
from multibox.data import load_data
from multibox.data.annotations import Problem
from multibox.data.voc_xml import read_xml
from tests.support.annotated import GOOD, SIZE, bndbox, read, read_one, voc_object, write
from tests.support.cases import write_lists

import numpy as np
import pytest

BOMB = ('<!DOCTYPE annotation [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>'
        '<annotation><object><name>&b;</name></object></annotation>')


@pytest.mark.parametrize('xml, reason', [
    ('<annotation><object>', 'cannot be read'),
    ('<annotation></annotation', 'cannot be read'),
    ('<!-- empty -->', 'cannot be read'),
    (BOMB, 'EntitiesForbidden'),
    ('<!DOCTYPE h><html></html>', 'its root is <html>'),
], ids=['cut off', 'half a tag', 'no root', 'entity bomb', 'another format'])
def test_an_unusable_annotation_leaves_its_example_out_and_is_listed(tmp_path, xml, reason):
    examples, (problem,), _ = read_one(tmp_path, xml)
    assert not examples
    assert problem.file == tmp_path / 'Annotations' / 'a.xml'
    assert problem.number is None
    assert reason in problem.reason


@pytest.mark.parametrize('raw', [
    b'', b'\xff\xfe\x00', b'<?xml version="1.0" encoding="no-such"?><annotation/>',
    '<annotation><x>ü</x></annotation>'.encode('latin-1'),
], ids=['empty', 'garbage', 'unknown encoding', 'wrong encoding'])
def test_undecodable_bytes_are_a_problem_not_a_crash(tmp_path, raw):
    write(tmp_path, GOOD)
    (tmp_path / 'Annotations' / 'a.xml').write_bytes(raw)
    examples, (problem,), _ = read(tmp_path, ['a'])
    assert not examples
    assert 'cannot be read' in problem.reason


def test_a_missing_annotation_is_listed_and_the_others_are_read(tmp_path):
    write(tmp_path, GOOD)
    (example,), (problem,), _ = read(tmp_path, ['gone', 'a'])
    assert example.path.name == 'a.jpg'
    assert problem == Problem(tmp_path / 'Annotations' / 'gone.xml', None, None,
                              'annotation file is missing')


def test_a_missing_image_is_listed(tmp_path):
    examples, problems, _ = read_one(tmp_path, SIZE + GOOD, image=None)
    assert not examples
    assert problems == [Problem(tmp_path / 'JPEGImages' / 'a.jpg', None, None,
                                'image file is missing')]


def test_an_unreadable_image_is_listed(tmp_path):
    write(tmp_path, GOOD, image=None)
    (tmp_path / 'JPEGImages' / 'a.jpg').write_bytes(b'not an image')
    examples, (problem,), _ = read(tmp_path, ['a'])
    assert not examples
    assert problem.file.name == 'a.jpg'
    assert 'image cannot be read' in problem.reason


def test_arrays_have_the_documented_types_and_order(tmp_path):
    (example,), _, _ = read_one(tmp_path, SIZE + voc_object(name='dog') + voc_object((1, 2, 3, 4)))
    assert example.path == tmp_path / 'JPEGImages' / 'a.jpg'
    assert (example.bbox.dtype, example.bbox.shape) == (np.float32, (2, 4))
    assert example.label.dtype == np.int32
    assert example.label.tolist() == [1, 0]
    assert example.difficult.dtype == bool


def test_an_image_without_objects_is_a_valid_example(tmp_path):
    (example,), problems, _ = read_one(tmp_path, SIZE)
    assert not problems
    assert example.bbox.shape == (0, 4)
    assert example.label.shape == example.difficult.shape == (0,)


@pytest.mark.parametrize('mark, difficult', [
    ('', False), ('<difficult>0</difficult>', False), ('<difficult>1</difficult>', True),
    ('<difficult>\n 1 </difficult>', True),
], ids=['absent', '0', '1', 'spaces'])
def test_difficult_is_read_and_defaults_to_false(tmp_path, mark, difficult):
    (example,), _, _ = read_one(tmp_path, SIZE + voc_object(rest=mark))
    assert example.difficult.tolist() == [difficult]


def test_parts_of_an_object_are_not_objects(tmp_path):
    part = f'<part><name>dog</name>{bndbox(1, 2, 3, 4)}</part>'
    (example,), problems, _ = read_one(tmp_path, SIZE + voc_object(rest=part))
    assert not problems
    assert example.label.tolist() == [0]
    assert example.bbox.tolist() == [[20, 10, 40, 30]]


@pytest.mark.parametrize('suffix', ['.jpg', '.jpeg', '.png', '.JPG', '.PNG'])
def test_images_may_have_another_suffix(tmp_path, suffix):
    (example,), problems, _ = read_one(tmp_path, SIZE + GOOD, image=f'a{suffix}')
    assert not problems
    assert example.path.is_file()


def test_examples_come_in_the_order_of_the_ids(tmp_path):
    ids = ['c', 'a', 'b']
    for example_id in ids:
        write(tmp_path, SIZE + GOOD, example_id, f'{example_id}.jpg')
    examples, _, _ = read(tmp_path, ids)
    assert [example.path.stem for example in examples] == ids


def test_a_quick_reading_shows_no_progress_bar(tmp_path, capsys):
    read_one(tmp_path, SIZE + GOOD)
    assert capsys.readouterr() == ('', '')


def test_label_names_are_those_of_objects_sorted(tmp_path):
    part = f'<part><name>wing</name>{bndbox(1, 2, 3, 4)}</part>'
    write(tmp_path, voc_object(name='yak') + voc_object(name='ant', rest=part), 'a')
    write(tmp_path, voc_object(name=' ant\n') + '<object/>', 'b', 'b.jpg')
    write(tmp_path, '<annotation><object>', 'broken')
    write_lists(tmp_path, train=['a', 'b', 'broken', 'gone'], test=['a'])
    assert load_data(tmp_path).label_names == ('ant', 'yak')


# encodings and hostile files

def encoded(declared, codec, text='ねじ'):
    return (f'<?xml version="1.0" encoding="{declared}"?>\n<annotation><folder>{text}</folder>'
            f'{SIZE}{GOOD}</annotation>').encode(codec)


@pytest.mark.parametrize('declared, codec, text', [
    ('UTF-8', 'utf-8-sig', 'ねじ'), ('UTF-16', 'utf-16', 'ねじ'), ('UTF-16LE', 'utf-16-le', 'ねじ'),
    ('GBK', 'gbk', '螺丝'), ('GB2312', 'gb2312', '螺丝'), ('gb18030', 'gb18030', '螺丝'),
    ('Shift_JIS', 'shift_jis', 'ねじ'), ('EUC-JP', 'euc-jp', 'ねじ'), ('EUC-KR', 'euc-kr', '나사'),
    ('Big5', 'big5', '螺絲'), ('ISO-8859-1', 'latin-1', 'über'), ('windows-1252', 'cp1252', 'über'),
    ('US-ASCII', 'ascii', 'a')])
def test_a_declared_encoding_is_obeyed(tmp_path, declared, codec, text):
    write(tmp_path, GOOD)
    (tmp_path / 'Annotations/a.xml').write_bytes(encoded(declared, codec, text))
    (example,), problems, _ = read(tmp_path, ['a'])
    assert not problems and example.bbox.tolist() == [[20, 10, 40, 30]]


def test_a_class_in_another_encoding_is_read(tmp_path):
    write(tmp_path, GOOD)
    path = tmp_path / 'Annotations/a.xml'
    path.write_bytes(encoded('GBK', 'gbk').replace(b'cat', '螺丝'.encode('gbk')))
    assert read_xml(path, None).entries[0].name == '螺丝'


@pytest.mark.parametrize('raw', [
    encoded('UTF-8', 'gbk', '螺丝'), encoded('GBK', 'utf-8', '螺') + b'\xff'],
                         ids=['GBK as UTF-8', 'UTF-8 as GBK'])
def test_a_wrong_encoding_is_listed(tmp_path, raw):
    write(tmp_path, GOOD)
    (tmp_path / 'Annotations/a.xml').write_bytes(raw)
    examples, (problem,), _ = read(tmp_path, ['a'])
    assert not examples and 'cannot be read' in problem.reason


LAUGHS = '<!ENTITY a0 "ha">' + ''.join(
    f'<!ENTITY a{n} "{10 * f"&a{n - 1};"}">' for n in range(1, 10))


@pytest.mark.parametrize('doctype', [
    LAUGHS, f'<!ENTITY a9 "{"a" * 10 ** 5}">', '<!ENTITY a9 SYSTEM "file:///etc/passwd">',
    '<!ENTITY % p SYSTEM "http://127.0.0.1:1/x"> %p; <!ENTITY a9 "a">'],
    ids=['billion laughs', 'quadratic', 'file', 'network'])
@pytest.mark.parametrize('declared', ['', '<?xml version="1.0" encoding="gbk"?>'])
def test_entities_are_refused(tmp_path, doctype, declared):
    write(tmp_path, GOOD)
    (tmp_path / 'Annotations/a.xml').write_text(
        f'{declared}<!DOCTYPE annotation [{doctype}]><annotation>{100 * "&a9;"}</annotation>')
    examples, (problem,), _ = read(tmp_path, ['a'])
    assert not examples and 'EntitiesForbidden' in problem.reason


def test_many_objects_are_read(tmp_path):
    (example,), problems, _ = read_one(tmp_path, SIZE + 10_000 * GOOD)
    assert len(example.bbox) == 10_000 and not problems


def test_a_large_file_and_a_deep_one_are_listed(tmp_path):
    for xml in (f'<annotation>{" " * 2 ** 25}</annotation>', 10 ** 5 * '<annotation>'):
        examples, (problem,), _ = read_one(tmp_path, xml)
        assert not examples and problem.number is None


@pytest.mark.parametrize('file', ['a quote".xml', "it's.xml", '100%.xml', 'two\nlines.xml',
                                  '日本.xml'])
def test_any_file_name_is_read_and_listed(tmp_path, file):
    stem = file[:-4]
    write(tmp_path, SIZE + GOOD, stem, f'{stem}.jpg')
    assert len(read(tmp_path, [stem])[0]) == 1
    write(tmp_path, '<annotation', stem, f'{stem}.jpg')
    (problem,) = read(tmp_path, [stem])[1]
    assert problem.file.name == file
