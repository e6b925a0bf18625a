"""Lists of images and of classes, and files by their names."""
from pathlib import Path

from multibox.data.classes import read_label_names
from multibox.data.listing import Files, Tree, is_image, read_names, resolve, walk
from multibox.errors import UserError

import pytest


@pytest.mark.parametrize('line, known, name', [
    ('a', ['a'], 'a'), ('a 1', ['a'], 'a'), ('a 1', ['a 1', 'a'], 'a 1'), ('a.jpg', ['a'], 'a'),
    ('a.jpg -1', ['a'], 'a'), ('a.b', ['a.b'], 'a.b'), ('a.b', [], 'a.b'), ('a 2', ['a'], 'a 2'),
    ('a.jpg', ['a.jpg'], 'a.jpg'), ('a.PNG  1', [], 'a'),
    ('JPEGImages/a.jpg', ['a'], 'a'), ('C:\\x\\a.jpg 1', ['a'], 'a'), ('./a', ['a'], 'a'),
    ('a.xml', ['a'], 'a'), ('x/a', ['x/a'], 'x/a'),
    ('x y (1)', ['x y (1)'], 'x y (1)'),
])
def test_a_line_means_the_first_reading_that_is_known(line, known, name):
    assert resolve(line, known) == name


def test_names_come_once_in_their_order_with_a_note(tmp_path):
    path, notes = tmp_path / 'x.txt', []
    path.write_text('\ufeffb 1\r\n\r\na.jpg -1\r\nb.png\r\n', encoding='utf-8')
    assert read_names(path, ['a', 'b'], notes) == ['b', 'a']
    assert notes == [f'{path}: 1 names are listed more than once; each image counts once']


def test_files_of_a_folder_that_is_absent_are_none(tmp_path):
    assert list(Files(tmp_path / 'absent', ['.jpg'])) == []


def test_files_are_found_by_stem_whatever_the_case_of_the_suffix(tmp_path):
    for name in ('a.JPG', 'a.png', 'b.txt'):
        (tmp_path / name).touch()
    files = Files(tmp_path, ['.jpg', '.png'])
    assert [path.name for path in files.find('a')] == ['a.JPG', 'a.png']
    assert [len(paths) for paths in files.several()] == [2] and 'b' not in files


def make(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return Tree(folder)


@pytest.mark.parametrize('beside, nearest', [
    ('a/1.xml', ['a/1.jpg']), ('a/x/1.xml', ['a/1.jpg']), ('xml/a/1.xml', ['a/1.jpg']),
    ('xml/b/1.xml', ['b/1.jpg']), ('xml/1.xml', ['a/1.jpg', 'b/1.jpg']), ('c/1.xml', [
        'a/1.jpg', 'b/1.jpg'])])
def test_the_nearest_image_is_found(tmp_path, beside, nearest):
    tree = make(tmp_path, 'a/1.jpg', 'b/1.jpg')
    assert [path.relative_to(tmp_path).as_posix()
            for path in tree.nearest('1', tmp_path / beside)] == nearest


def test_no_image_of_the_name_is_none(tmp_path):
    assert make(tmp_path, 'a.jpg').nearest('b', tmp_path / 'b.xml') == []


def test_of_two_images_in_one_folder_that_of_the_name_comes_first(tmp_path):
    tree = make(tmp_path, '1.jpg', '1.png')
    assert tree.nearest('1', tmp_path / '1.xml', '1.png')[0].name == '1.png'


def test_hidden_folders_are_not_walked(tmp_path):
    make(tmp_path, '.git/a.jpg', '__MACOSX/._a.jpg', '.a.jpg', 'b/c.jpg', 'a.jpg')
    assert [path.relative_to(tmp_path).as_posix() for path in walk(tmp_path)] == [
        'a.jpg', 'b/c.jpg']


def test_suffixes_of_images():
    assert [is_image(Path(name)) for name in ('a.Jpg', 'a.TIFF', 'a.webp', 'a.gif', 'jpg')] == [
        True, True, True, False, False]


@pytest.mark.parametrize('text, names', [
    ('a\nb\n', 'a b'), ('\ufeffa\r\n\r\nb\r\n', 'a b'), ('b\na', 'b a'), ('background\na\n', 'a')])
def test_label_names(tmp_path, text, names):
    (tmp_path / 'labels.txt').write_text(text, encoding='utf-8')
    assert read_label_names(tmp_path / 'labels.txt', []) == tuple(names.split())


@pytest.mark.parametrize('content', [b'\xff\xfe\x00', b'a\nb\na\n', b'', b'__background__\n'])
def test_a_list_of_classes_that_is_none_is_named(tmp_path, content):
    (tmp_path / 'labels.txt').write_bytes(content)
    with pytest.raises(UserError, match=r'labels\.txt: '):
        read_label_names(tmp_path / 'labels.txt', [])
