"""Faults of COCO files, and the places where exports put their images."""
from multibox.data import load_data
from tests.support import cases
from tests.support.cases import check, coco, coco_content, stem, write_json

import pytest


def set_size(content, image_id, *size):
    for image in content['images']:
        if image['id'] == image_id:
            image['width'], image['height'] = size


def write(folder, change):
    """Write the layout, whose training file is changed by ``change``."""
    return coco(folder, lambda content: change(content) if content['images'][0]['id'] == 0 else 0)


def test_an_absent_iscrowd_is_0(tmp_path):
    def change(content):
        for entry in content['annotations']:
            del entry['iscrowd']

    result = check(coco(tmp_path, change))
    assert (len(result.train), len(result.test), result.problems) == (4, 2, [])
    cases.assert_placed(result.train['im001.png'], 1, atol=1e-3)


@pytest.mark.parametrize('bbox', [
    [], None, [1, 2, 3], 'abc', [1, 2, 'x', 4], [1, 2, -5, 5], [10, 10, 0, 5], [10 ** 400, 1, 2, 2],
    [500, 500, 20, 20], {'x': 1}, [1, 2, 3, 4, 5], [0.1, 0.1, 0.5, 0.5]], ids=str)
def test_a_box_that_cannot_be_used_is_listed_with_its_id(tmp_path, bbox):
    result = check(write(tmp_path, lambda content: content['annotations'][2].update(bbox=bbox)))
    assert sorted(result.train) == ['im000.png', 'im002.png', 'im003.png']
    assert [problem['object'] for problem in result.problems] == [10]


def test_a_file_without_a_box_key_is_read_and_its_objects_are_listed(tmp_path):
    result = check(write(tmp_path, lambda content: content['annotations'][2].pop('bbox')))
    assert [problem['object'] for problem in result.problems] == [10]
    assert len(result.train) == 3


def test_an_annotation_of_no_listed_image_is_listed(tmp_path):
    orphan = {'id': 7777, 'image_id': 999, 'category_id': 1, 'bbox': [1, 1, 9, 9]}
    result = check(write(tmp_path, lambda content: content['annotations'].append(orphan)))
    assert (len(result.train), len(result.test)) == (4, 2)
    assert [problem['object'] for problem in result.problems] == [7777]


@pytest.mark.parametrize('entry', [None, 3, [], 'text', {}])
def test_an_annotation_that_is_no_object_of_json_is_listed(tmp_path, entry):
    result = check(write(tmp_path, lambda content: content['annotations'].append(entry)))
    assert (len(result.train), len(result.test), len(result.problems)) == (4, 2, 1)


@pytest.mark.parametrize('bbox, cut', [
    ([100, 30, 69, 61], [30, 100, 91, 160]), ([-20, -20, 400, 400], [0, 0, 120, 160]),
    ([1e14, 0, 1e14, 10], None), ([-1e14, -1e14, 2e14, 2e14], [0, 0, 120, 160]),
], ids=['right', 'all sides', 'outside', 'huge'])
def test_a_box_is_cut_with_a_note(tmp_path, bbox, cut):
    result = check(write(tmp_path, lambda content: content['annotations'][2].update(bbox=bbox)))
    if cut is None:
        assert 'im001.png' not in result.train and result.problems[0]['object'] == 10
        return
    assert result.problems == []
    assert cut in result.train['im001.png']['bbox']
    assert 'object 10: the box reaches outside' in result.notes


def test_a_swapped_size_is_a_problem(tmp_path):
    result = check(write(tmp_path, lambda content: set_size(content, 3, 120, 160)))
    assert sorted(result.train) == ['im000.png', 'im001.png', 'im002.png']
    assert '120 x 160, but the image has 160 x 120' in result.problems[0]['reason']


@pytest.mark.parametrize('factor', [2, 3, 1 / 2, 1 / 4])
def test_another_size_scales_the_boxes_with_a_note(tmp_path, factor):
    def change(content):
        set_size(content, 2, round(160 * factor), round(120 * factor))
        for entry in content['annotations'][4:6]:
            entry['bbox'] = [value * factor for value in entry['bbox']]

    result = check(write(tmp_path, change))
    assert (len(result.train), result.problems) == (4, [])
    cases.assert_placed(result.train['im002.png'], 2, atol=1e-3)
    assert result.notes.count('the boxes were scaled') == 1


@pytest.mark.parametrize('size', [(0, 0), (None, None), ('a', 'b'), (-1, -1), (1e400, 1)], ids=str)
def test_a_size_that_says_nothing_is_that_of_the_image(tmp_path, size):
    def change(content):
        set_size(content, 2, *size)

    write(tmp_path, change)
    result = check(tmp_path)
    assert (len(result.train), result.problems) == (4, [])
    cases.assert_placed(result.train['im002.png'], 2, atol=1e-3)


@pytest.mark.parametrize('name', [None, 3, '', [], '../../etc/passwd', '/etc/passwd', '.', 'a\0b'],
                         ids=repr)
def test_a_file_name_that_is_none_is_listed(tmp_path, name):
    result = check(write(tmp_path, lambda content: content['images'][1].update(file_name=name)))
    assert (len(result.train), len(result.test)) == (3, 2)
    assert result.problems


def test_an_image_that_is_listed_twice_counts_once(tmp_path):
    result = check(write(tmp_path, lambda content: content['images'].append(content['images'][1])))
    assert (len(result.train), len(result.test)) == (4, 2)


def test_a_file_of_two_ids_counts_once_with_all_objects_and_a_note(tmp_path):
    def change(content):
        content['images'].append({**content['images'][1], 'id': 77})
        content['annotations'][3]['image_id'] = 77
        content['annotations'].append({**content['annotations'][2], 'id': 99, 'image_id': 77})

    result = check(write(tmp_path, change))
    assert (len(result.train), result.problems) == (4, [])
    cases.assert_placed(result.train['im001.png'], 1, atol=1e-3)
    assert '1 images are listed more than once' in result.notes


def test_two_files_of_one_id_are_listed_and_not_used(tmp_path):
    copy = {'id': 1, 'file_name': 'im002.png', 'width': 160, 'height': 120}
    result = check(write(tmp_path, lambda content: content['images'].append(copy)))
    assert sorted(result.train) == ['im000.png', 'im002.png', 'im003.png']
    assert 'has the same id' in result.problems[0]['reason']


def test_two_categories_of_one_name_are_an_error_that_names_both(tmp_path):
    result = check(coco(tmp_path, lambda content: content['categories'].append(
        {'id': 9, 'name': 'nut'})))
    assert "the categories 2 and 9 are both named 'nut'" in result.error


@pytest.mark.parametrize('form', ['{}', 'images/{}', './{}', 'a\\b\\{}', 'C:\\data\\{}',
                                  '/home/me/{}', 'images\\{}', 'https://a.b/c/{}'])
@pytest.mark.parametrize('images', ['images', 'img', 'JPEGImages', 'images/default', '.',
                                    'my photos/2020'])
def test_file_names_and_folders_of_images(tmp_path, form, images):
    def change(content):
        for image in content['images']:
            image['file_name'] = form.format(image['file_name'])

    result = check(coco(tmp_path, change, images))
    assert (len(result.train), len(result.test), result.problems) == (4, 2, [])


@pytest.mark.parametrize('separator', ['/', '\\'])
@pytest.mark.parametrize('images', ['images', 'photos'])
def test_subfolders_with_the_same_names_are_kept_apart(tmp_path, separator, images):
    content = coco_content(range(4))
    for i, image in enumerate(content['images']):
        image['file_name'] = f'cam{i}{separator}frame.png'
        cases.save(tmp_path / images / f'cam{i}' / 'frame.png', cases.paint(cases.objects(i)))
    write_json(tmp_path / 'labels.json', content)
    assert len({*read_paths(tmp_path)}) == 4


def read_paths(folder):
    """The images of a folder, whose boxes have to lie on their colours."""
    data = load_data(folder)
    cases.assert_on_colours(data, 4, atol=0.1)
    return [*data.train.paths, *data.test.paths]


@pytest.mark.parametrize('name', ['instances_default.json', 'annotations.json', 'result.json',
                                  'annotations/instances_default.json'])
def test_one_file_is_divided(tmp_path, name):
    write_json(tmp_path / name, coco_content(range(cases.N)))
    for i in range(cases.N):
        cases.save(tmp_path / 'images/default' / f'{stem(i)}.png', cases.paint(cases.objects(i)))
    result = check(tmp_path)
    assert (len(result.train), len(result.test), result.label_names) == (5, 1, ['bolt', 'nut'])
    assert 'drawn at random' in result.notes


def test_roboflows_super_category_is_no_class(tmp_path):
    def change(content):
        content['categories'].insert(0, {'id': 0, 'name': 'parts', 'supercategory': 'none'})
        for category in content['categories'][1:]:
            category['supercategory'] = 'parts'

    assert check(coco(tmp_path, change)).label_names == ['bolt', 'nut']


@pytest.mark.parametrize('parts', [('train', 'valid', 'test'), ('train', 'valid'),
                                   ('train', 'test')], ids=str)
def test_roboflows_export(tmp_path, parts):
    for n, part in enumerate(parts):
        numbers = [n, n + 3]
        for i in numbers:
            cases.save(tmp_path / part / f'{stem(i)}.png', cases.paint(cases.objects(i)))
        write_json(tmp_path / part / '_annotations.coco.json', coco_content(numbers))
    result = check(tmp_path)
    assert sorted(result.train) == ['im000.png', 'im003.png']
    last = len(parts) - 1
    assert sorted(result.test) == [f'{stem(last)}.png', f'{stem(last + 3)}.png']
    assert ('not used' in result.notes) == (len(parts) == 3)


@pytest.mark.parametrize('bom', ['\ufeff', ''])
def test_a_byte_order_mark_is_no_fault(tmp_path, bom):
    coco(tmp_path)
    for path in (tmp_path / 'annotations').iterdir():
        path.write_text(bom + path.read_text(), encoding='utf-8')
    assert len(check(tmp_path).train) == 4


@pytest.mark.parametrize('image_id', [[], {}], ids=repr)
def test_an_id_that_is_none_is_listed(tmp_path, image_id):
    result = check(write(tmp_path, lambda content: content['images'][1].update(id=image_id)))
    assert (len(result.train), len(result.problems)) == (3, 3)


def test_ids_may_be_texts(tmp_path):
    def change(content):
        for entries, keys in ((content['images'], ['id']), (content['categories'], ['id']),
                              (content['annotations'], ['id', 'image_id', 'category_id'])):
            for entry in entries:
                entry.update({key: str(entry[key]) for key in keys})

    result = check(coco(tmp_path, change))
    assert (len(result.train), result.problems, result.label_names) == (4, [], ['bolt', 'nut'])
    cases.assert_placed(result.train['im001.png'], 1, atol=1e-3)
