"""Folders as tools and people leave them: the exports, and the things that lie beside them."""
import json
import os
import unicodedata

from multibox.data import load_data
from multibox.data.load import look
from multibox.errors import UserError

import pytest
from PIL import Image

BOX = 31, 21, 80, 70  # xmin, ymin, xmax, ymax in VOC's pixels
LABEL = '0 0.34 0.37 0.31 0.41\n'
HEADER = 'filename,width,height,class,xmin,ymin,xmax,ymax\n'


def image(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new('RGB', (160, 120)).save(path)


def text(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)


def xml(path, name='bolt'):
    corners = ''.join(f'<{key}>{value}</{key}>'
                      for key, value in zip(('xmin', 'ymin', 'xmax', 'ymax'), BOX))
    text(path, f'<annotation><object><name>{name}</name><bndbox>{corners}</bndbox></object>'
               '</annotation>')


def coco(names, **changes):
    content = {'images': [{'id': n, 'file_name': name} for n, name in enumerate(names)],
               'categories': [{'id': 1, 'name': 'bolt'}],
               'annotations': [{'id': n, 'image_id': n, 'category_id': 1,
                                'bbox': [30, 20, 49, 49]} for n in range(len(names))]}
    return json.dumps({**content, **changes})


def table(names):
    return HEADER + ''.join(f'{name},160,120,bolt,31,21,80,70\n' for name in names)


def found(folder):
    """{image as written from the folder: number of objects}, and the problems."""
    data = look(folder)
    return {example.path.relative_to(folder).as_posix(): len(example.bbox)
            for example in (*data.train.examples, *data.test.examples)}, data.problems


def sets(folder):
    data = load_data(folder)
    return {path.stem for path in data.train.paths}, {path.stem for path in data.test.paths}


# an annotation takes no image of another one

@pytest.mark.parametrize('kind', ['xml', 'coco', 'csv'])
def test_a_missing_image_is_not_replaced_by_one_of_the_same_name(tmp_path, kind):
    names = [f'{part}/{n}.png' for part in 'ab' for n in range(4)]
    for name in names:
        image(tmp_path / name)
    (tmp_path / 'a/2.png').unlink()
    if kind == 'xml':
        for name in names:
            xml((tmp_path / name).with_suffix('.xml'))
    else:
        text(tmp_path / f'labels.{ {"coco": "json"}.get(kind, kind)}',
             coco(names) if kind == 'coco' else table(names))
    images, (problem,) = found(tmp_path)
    assert images == {name: 1 for name in names if name != 'a/2.png'}
    assert 'image file is missing' in problem.reason


def test_the_second_annotation_of_an_image_is_listed(tmp_path):
    for n in range(3):
        image(tmp_path / f'images/{n}.png')
        xml(tmp_path / f'new/{n}.xml')
    xml(tmp_path / 'old/1.xml', 'nut')
    images, (problem,) = found(tmp_path)
    assert len(images) == 3 and 'has another annotation' in problem.reason


def test_the_folder_called_after_images_comes_first(tmp_path):
    for n in range(3):
        for part in 'depth', 'images', 'annotated':
            image(tmp_path / f'{part}/{n}.png')
        xml(tmp_path / f'Annotations/{n}.xml')
    assert set(found(tmp_path)[0]) == {f'images/{n}.png' for n in range(3)}


@pytest.mark.parametrize('written', ['{}', 'C:\\data\\set\\{}', '/home/me/{}', './{}'])
@pytest.mark.parametrize('kind', ['coco', 'csv'])
def test_folders_in_names_tell_images_of_one_name_apart(tmp_path, kind, written):
    names = [f'{part}/1.png' for part in 'abc']
    for name in names:
        image(tmp_path / 'images' / name)
    content = [written.format(name) for name in names]
    if kind == 'coco':
        text(tmp_path / 'all.json', coco(content))
    else:
        text(tmp_path / 'labels.csv', table(content))
    assert found(tmp_path) == ({f'images/{name}': 1 for name in names}, [])


# sets that are there are found

@pytest.mark.parametrize('image_name, xml_name', [
    ('{}/{}.png', '{}/{}.xml'), ('{}_zip/{}/{}.png', '{}_zip/{}/{}.xml'),
    ('images/{}/{}.png', 'annotations/{}/{}.xml'), ('{}/images/{}.png', '{}/labels/{}.xml')])
def test_folders_called_after_sets_divide_xml_files(tmp_path, image_name, xml_name):
    text(tmp_path / '.pre-commit-config.yaml', 'repos: []\n')
    for part in 'train', 'test':
        for n in range(3):
            values = (part, part, f'{part}{n}')[-image_name.count('{}'):]
            image(tmp_path / image_name.format(*values))
            xml(tmp_path / xml_name.format(*values))
    assert sets(tmp_path) == ({f'train{n}' for n in range(3)}, {f'test{n}' for n in range(3)})


@pytest.mark.parametrize('place', ['VOCdevkit/VOC2028', '.', 'set'])
@pytest.mark.parametrize('lists', ['ImageSets/Main', 'ImageSets', '.'])
@pytest.mark.parametrize('annotations', ['Annotations', 'annotations'])
def test_lists_of_voc_are_found_in_their_places(tmp_path, place, lists, annotations):
    text(tmp_path / 'README.txt', 'x')
    for n in range(5):
        image(tmp_path / place / f'JPEGImages/im{n}.png')
        image(tmp_path / place / f'SegmentationClass/im{n}.png')
        xml(tmp_path / place / annotations / f'im{n}.xml')
    text(tmp_path / place / lists / 'trainval.txt', '"im0"\nim1\nim2\n')
    text(tmp_path / place / lists / 'test.txt', 'im3\nim4\n')
    assert sets(tmp_path) == ({'im0', 'im1', 'im2'}, {'im3', 'im4'})


def test_an_empty_list_counts_as_absent(tmp_path):
    for n in range(4):
        image(tmp_path / f'JPEGImages/{n}.png')
        xml(tmp_path / f'Annotations/{n}.xml')
    for name, content in (('train', '0\n1\n'), ('val', '2\n3\n'), ('test', '\n')):
        text(tmp_path / f'ImageSets/Main/{name}.txt', content)
    assert sets(tmp_path) == ({'0', '1'}, {'2', '3'})


def test_a_path_of_data_yaml_that_leads_nowhere_is_an_error(tmp_path):
    for n in range(3):
        image(tmp_path / f'images/val/{n}.png')
        text(tmp_path / f'labels/val/{n}.txt', LABEL)
    text(tmp_path / 'data.yaml', 'train: images/trian\nval: images/val\nnames: [bolt]\n')
    with pytest.raises(UserError, match=r'data\.yaml: train: no image in images/trian'):
        load_data(tmp_path)


def test_images_of_a_third_file_are_named(tmp_path):
    for part in 'train', 'val', 'extra':
        image(tmp_path / f'{part}.png')
        text(tmp_path / f'instances_{part}.json', coco([f'{part}.png']))
    notes = load_data(tmp_path).notes
    assert any('1 images are for no set' in note for note in notes)


def test_two_files_of_one_set_count_an_image_once(tmp_path):
    for n in range(5):
        image(tmp_path / f'{n}.png')
    text(tmp_path / 'train.json', coco(['0.png', '1.png']))
    text(tmp_path / 'trainval.json', coco(['0.png', '1.png', '2.png']))
    text(tmp_path / 'val.json', coco(['3.png', '4.png']))
    assert [len(part) for part in (load_data(tmp_path).train, load_data(tmp_path).test)] == [3, 2]


# things beside the data

@pytest.mark.parametrize('name, content', [
    ('classes.txt', 'bolt\n'), ('notes.csv', 'é;'), ('compose.yml', 'a: [\n'), ('._0.xml', 'x'),
    ('notes.json', '{"a": 1}'), ('labels/classes.txt', 'bolt\n'), ('.DS_Store', 'x')])
def test_a_file_of_another_kind_does_not_hide_annotations(tmp_path, name, content):
    for n in range(5):
        image(tmp_path / f'{n}.png')
        xml(tmp_path / f'{n}.xml')
    text(tmp_path / name, '')
    (tmp_path / name).write_bytes(content.encode('latin-1'))
    assert found(tmp_path) == ({f'{n}.png': 1 for n in range(5)}, [])


def test_pictures_beside_a_yolo_folder_are_not_background(tmp_path):
    for n in range(3):
        image(tmp_path / f'images/{n}.png')
        text(tmp_path / f'labels/{n}.txt', LABEL)
    image(tmp_path / 'runs/detect/0.png')
    image(tmp_path / 'confusion.png')
    text(tmp_path / 'classes.txt', 'bolt\n')
    assert found(tmp_path)[0] == {f'images/{n}.png': 1 for n in range(3)}


# names

@pytest.mark.parametrize('image_name, label', [
    (unicodedata.normalize('NFD', 'Kühe.png'), 'Kühe.txt'), ('IMG_1.PNG', 'img_1.txt'),
    ('a.png', 'a.TXT')])
def test_a_label_file_is_found_by_any_spelling(tmp_path, image_name, label):
    for name, of_label in ((image_name, label), ('x.png', 'x.txt')):
        image(tmp_path / 'images' / name)
        text(tmp_path / 'labels' / of_label, LABEL)
    assert set(found(tmp_path)[0].values()) == {1}


def test_a_broken_link_to_a_label_file_is_listed(tmp_path):
    for n in range(3):
        image(tmp_path / f'images/{n}.png')
        text(tmp_path / f'labels/{n}.txt', LABEL)
    (tmp_path / 'labels/1.txt').unlink()
    os.symlink('/nowhere', tmp_path / 'labels/1.txt')
    images, (problem,) = found(tmp_path)
    assert 'images/1.png' not in images and problem.file.name == '1.txt'


def test_the_boxes_of_poses_are_their_first_four_numbers(tmp_path):
    for n in range(2):
        image(tmp_path / f'images/{n}.png')
        text(tmp_path / f'labels/{n}.txt', f'{LABEL.strip()} 0.25 0.30 0.40 0.45 0.30 0.50\n')
    text(tmp_path / 'data.yaml', 'train: images\nnames: [bolt]\nkpt_shape: [3, 2]\n')
    bbox = look(tmp_path).train.examples[0].bbox[0].tolist()
    assert bbox == pytest.approx([19.8, 29.6, 69, 79.2], abs=0.01)


@pytest.mark.parametrize('change', ['ids', 'crowd', 'length', 'percent', 'case'])
def test_other_spellings_of_coco_are_read(tmp_path, change):
    names = [f'a b{n}.png' for n in range(4)]
    for name in names:
        image(tmp_path / name)
    content = json.loads(coco(names))
    for entry in content['annotations']:
        entry['iscrowd'] = '0'
        if change == 'ids':
            entry['image_id'], entry['category_id'] = str(entry['image_id']), '1'
    for entry in content['images']:
        if change == 'percent':
            entry['file_name'] = entry['file_name'].replace(' ', '%20')
        if change == 'case':
            entry['file_name'] = entry['file_name'].upper()
    if change == 'length':
        content['images'].append({'id': 9, 'file_name': 300 * 'x' + '.png'})
    text(tmp_path / 'sub/anything.json', json.dumps(content))
    images, problems = found(tmp_path)
    assert images == dict.fromkeys(names, 1) and len(problems) == (change == 'length')
    assert not look(tmp_path).train.examples[0].difficult.any()


def test_one_class_may_have_other_ids_in_another_file(tmp_path):
    for part, number in (('train', 1), ('val', 5)):
        image(tmp_path / f'{part}.png')
        text(tmp_path / f'instances_{part}.json', coco(
            [f'{part}.png'], categories=[{'id': number, 'name': 'bolt'}],
            annotations=[{'id': 1, 'image_id': 0, 'category_id': number, 'bbox': [1, 1, 9, 9]}]))
    data = load_data(tmp_path)
    assert data.label_names == ('bolt',) and data.test.examples[0].label.tolist() == [0]


def test_labels_txt_chooses_among_the_classes_of_coco(tmp_path):
    image(tmp_path / '0.png')
    image(tmp_path / '1.png')
    content = json.loads(coco(['0.png', '1.png']))
    content['categories'].append({'id': 2, 'name': 'nut'})
    content['annotations'].append({'id': 8, 'image_id': 0, 'category_id': 2, 'bbox': [1, 1, 9, 9]})
    text(tmp_path / 'all.json', json.dumps(content))
    text(tmp_path / 'labels.txt', 'bolt\n')
    data = look(tmp_path)
    assert data.label_names == ('bolt',)
    assert sum(len(each.ignored) for each in (*data.train.examples, *data.test.examples)) == 1
