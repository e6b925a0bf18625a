"""Which layout a folder has, and the error if it has none."""
from multibox.data import load_data
from tests.support import cases
from tests.support.cases import check, objects, stem, voc, write_lists

import pytest


def cvat(folder, list_name='default'):
    """CVAT's export of VOC: the list of one task, and labelmap.txt with a background."""
    voc(folder, lists=False)
    write_lists(folder, **{list_name: map(stem, range(cases.N))})
    (folder / 'labelmap.txt').write_text('# label:color_rgb:parts:actions\n'
                                         'background:0,0,0::\nbolt:1,2,3::\nnut:4,5,6::\n')
    return folder


@pytest.mark.parametrize('list_name', ['default', 'trainval', 'train'])
def test_cvats_list_is_divided(tmp_path, list_name):
    result = check(cvat(tmp_path, list_name))
    assert (len(result.train), len(result.test), result.problems) == (5, 1, [])
    assert result.label_names == ['bolt', 'nut']
    assert 'drawn at random' in result.notes


def test_cvats_lists_of_sets(tmp_path):
    voc(tmp_path, lists=False)
    write_lists(tmp_path, Train=map(stem, cases.TRAIN), Validation=map(stem, cases.TEST))
    result = check(tmp_path)
    assert (len(result.train), len(result.test)) == (4, 2)


def test_an_empty_folder_says_what_was_looked_for_in_one_line(tmp_path):
    (error,) = check(tmp_path).error.splitlines()
    for name in ('VOC', 'VOC2007/', 'labelImg', 'COCO', 'YOLO', '.csv', 'nothing'):
        assert name in error


def test_a_folder_of_other_files_says_what_is_there(tmp_path):
    for i in range(3):
        cases.save(tmp_path / 'photos' / f'{i}.jpg', cases.paint(objects(i)))
    (tmp_path / 'notes.doc').touch()
    error = check(tmp_path).error
    assert 'It holds' in error
    for text in ('photos/', 'notes.doc', '3 x .jpg'):
        assert text in error


def test_a_file_in_place_of_a_folder_is_named(tmp_path):
    (tmp_path / 'x').touch()
    assert f'{tmp_path / "x"}: is a file; give its folder' in check(tmp_path / 'x').error


@pytest.mark.parametrize('folder', ['mit Leerzeichen', '日本', "quo'te", '100%', '-x', '[a]*?'])
def test_folders_of_any_name(tmp_path, folder):
    result = check(voc(tmp_path / folder))
    assert (len(result.train), len(result.test), result.problems) == (4, 2, [])


def test_a_relative_folder(tmp_path, monkeypatch):
    voc(tmp_path / 'set')
    monkeypatch.chdir(tmp_path)
    cases.assert_on_colours(load_data('set'), 6)


def test_links_are_followed(tmp_path):
    voc(tmp_path / 'real')
    (tmp_path / 'link').symlink_to(tmp_path / 'real')
    (tmp_path / 'set').mkdir()
    for part in ('Annotations', 'JPEGImages', 'ImageSets'):
        (tmp_path / 'set' / part).symlink_to(tmp_path / 'real' / part)
    assert [len(check(tmp_path / name).train) for name in ('link', 'set')] == [4, 4]


def test_json_and_tables_of_another_kind_do_not_hide_voc(tmp_path):
    voc(tmp_path)
    (tmp_path / 'package.json').write_text('{"name": "x"}')
    (tmp_path / 'broken.json').write_text('{')
    (tmp_path / 'list.csv').write_text('filename,price\na,1\n')
    assert len(check(tmp_path).train) == 4


def test_a_json_file_beside_voc_does_not_hide_it(tmp_path):
    cases.write_json(voc(tmp_path) / 'x.json', cases.coco_content(range(2)))
    assert len(check(tmp_path).train) == 4


@pytest.mark.parametrize('write', [voc, cases.coco, lambda folder: voc(folder / 'VOC')],
                         ids=['voc', 'coco', 'deeper'])
def test_a_folder_around_a_data_set_is_looked_into(tmp_path, write):
    write(tmp_path / 'export')
    result = check(tmp_path)
    assert (len(result.train), len(result.test)) == (4, 2)


def test_folders_that_are_links_are_looked_into_once(tmp_path):
    for i in range(5):
        cases.save(tmp_path / 'disk' / f'{stem(i)}.png', cases.paint(objects(i)))
        (tmp_path / 'disk' / f'{stem(i)}.xml').write_text(cases.xml(objects(i)))
    (tmp_path / 'disk/circle').symlink_to(tmp_path / 'disk')
    (tmp_path / 'set').mkdir()
    (tmp_path / 'set/images').symlink_to(tmp_path / 'disk')
    cases.assert_on_colours(load_data(tmp_path / 'set'), 5)
