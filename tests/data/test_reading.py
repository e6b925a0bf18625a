"""Limits of text files, numbers and class names."""
import os

from multibox.data import reading
from multibox.data.classes import MAX_CLASSES, MAX_NAME, check_names, short_list
from multibox.data.reading import number, read_lines, shown
from multibox.errors import UserError

import pytest


@pytest.mark.parametrize('text', ['\uff11\uff12', '1_000', '0x10', '', 'a', '1 2', True,
                                  '\u0663'], ids=repr)
def test_what_is_no_number_is_refused(text):
    with pytest.raises(ValueError):
        number(text)


@pytest.mark.parametrize('text, value', [('12', 12), (' 1.5\n', 1.5), ('-3e1', -30), (7, 7),
                                         ('1' * 5000, float('inf'))], ids=['int', 'spaces', 'e',
                                                                           'int of JSON', 'long'])
def test_a_number_is_read(text, value):
    assert number(text) == value


def test_too_many_lines_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(reading, 'MAX_LINES', 3)
    (tmp_path / 'x.txt').write_text('a\n\n\n\n\nb\nc\n')
    assert read_lines(tmp_path / 'x.txt') == ['a', 'b', 'c']
    (tmp_path / 'x.txt').write_text('a\nb\nc\nd\n')
    with pytest.raises(UserError, match=r'x\.txt: has more than 3 lines'):
        read_lines(tmp_path / 'x.txt')


def test_a_line_that_is_no_name_is_refused_by_its_number(tmp_path):
    (tmp_path / 'x.txt').write_text(f'a\n{"b" * 5000}\n')
    with pytest.raises(UserError, match=r'x\.txt: line 2 has 5,000 characters'):
        read_lines(tmp_path / 'x.txt')


def test_a_large_list_is_not_read(tmp_path):
    (tmp_path / 'x.txt').touch()
    os.truncate(tmp_path / 'x.txt', 2 ** 40)
    with pytest.raises(UserError, match=r'x\.txt: cannot be read \(is larger than'):
        read_lines(tmp_path / 'x.txt')


@pytest.mark.parametrize('make', [
    os.mkfifo, os.mkdir, lambda path: path.symlink_to(path), lambda path: path.symlink_to('gone')],
    ids=['pipe', 'folder', 'link to itself', 'dangling link'])
def test_a_list_that_is_no_regular_file_is_refused(tmp_path, make):
    make(tmp_path / 'x.txt')
    with pytest.raises(UserError, match=r'x\.txt: cannot be read'):
        read_lines(tmp_path / 'x.txt')


@pytest.mark.parametrize('value', [10 ** 100, 'x' * 10 ** 6, [[[[[[[[1]]]]]]]], {1: 2 * [[]]},
                                   list(range(10 ** 5)), float('nan')], ids=type)
def test_a_value_of_any_size_is_shown_in_a_few_words(value):
    assert len(shown(value)) < 200


@pytest.mark.parametrize('names, reason', [
    (['a', 'b', 'a'], 'names a twice'), (['a', 'b' * (MAX_NAME + 1)], 'class 2: class name of 201'),
    (['\ud800'], r'class 1: .* is no valid Unicode'),
    (map(str, range(MAX_CLASSES + 1)), 'has 10,001 classes, such as 0, 1, 2')],
    ids=['twice', 'long', 'surrogate', 'many'])
def test_names_that_cannot_be_classes_are_refused(tmp_path, names, reason):
    with pytest.raises(UserError, match=f'labels: {reason}'):
        check_names(names, tmp_path / 'labels')


def test_any_other_name_is_kept():
    names = tuple(map(str, range(MAX_CLASSES - 4))) + ('_a', '$\\frac$', '<b>', '\x1b[2J')
    assert check_names(names, 'x') == names


def test_a_long_list_of_names_is_cut():
    assert short_list(map(str, range(12))) == '0, 1, 2, 3, 4, 5, 6, 7, 8, 9 and 2 more'
