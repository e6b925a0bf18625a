"""The layout of COCO: JSON files of instances, and their images."""
import json

import train
from multibox.data import load_data
from multibox.errors import UserError

import numpy as np
import pytest
from PIL import Image

CAT, DOG = 17, 18  # COCO's category ids have gaps


def entry(number, image, category, bbox, crowd=0):
    return {'id': number, 'image_id': image, 'category_id': category, 'bbox': bbox,
            'iscrowd': crowd}


@pytest.fixture
def write(tmp_path):
    """Function that writes a folder of COCO with images of 40 x 30 pixels, and returns it."""
    def write(train, val, images=((7, 'b.jpg'), (3, 'a.jpg')), **changes):
        (tmp_path / 'annotations').mkdir(exist_ok=True)
        for split, objects in (('train', train), ('val', val)):
            (tmp_path / f'{split}2017').mkdir(exist_ok=True)
            for _, name in images:
                Image.new('RGB', (40, 30)).save(tmp_path / f'{split}2017' / name)
            content = {'images': [{'id': n, 'file_name': name, 'height': 30, 'width': 40}
                                  for n, name in images],
                       'categories': [{'id': DOG, 'name': 'dog'}, {'id': CAT, 'name': 'cat'}],
                       'annotations': objects, **changes}
            path = tmp_path / 'annotations' / f'instances_{split}2017.json'
            path.write_text(json.dumps(content))
        return tmp_path
    return write


BOTH = [entry(1, 7, DOG, [5, 6, 10, 4]), entry(2, 7, CAT, [0, 0, 40, 30], crowd=1)]


def test_boxes_become_corners_and_categories_numbers_without_gaps(write):
    data = load_data(write(BOTH, [entry(9, 3, CAT, [1.5, 2, 3, 4])]))
    assert data.label_names == ('cat', 'dog')
    assert [path.name for path in data.train.paths] == ['a.jpg', 'b.jpg']
    img, bbox, label, difficult = data.train[1]
    assert (img.shape, bbox.dtype, label.dtype) == ((3, 30, 40), np.float32, np.int32)
    assert (bbox.tolist(), label.tolist(), difficult.tolist()) == ([[6, 5, 10, 15]], [1], [False])
    assert data.test[0][1].tolist() == [[2, 1.5, 6, 4.5]]
    assert data.train.examples[1].size == (30, 40)


def test_an_image_without_objects_stays(write):
    _, bbox, label, difficult = load_data(write(BOTH, BOTH)).train[0]
    assert (bbox.shape, label.shape, difficult.shape) == ((0, 4), (0,), (0,))


def test_crowds_are_not_trained_on_and_do_not_count_in_the_test_set(write):
    data = load_data(write(BOTH, BOTH))
    assert data.train[1][2].tolist() == [1]
    assert data.test[1][3].tolist() == [False, True]


def test_a_box_without_area_and_a_missing_image_are_left_out_and_listed(write):
    objects = [entry(1, 3, DOG, [5, 6, 10, 4]), *BOTH[1:], entry(5, 7, CAT, [1, 1, 0, 9])]
    folder = write(objects, BOTH)
    (folder / 'val2017' / 'a.jpg').unlink()
    data = load_data(folder)
    assert [str(problem) for problem in data.problems] == [
        f'{folder}/annotations/instances_train2017.json, object 5: box has no area '
        '(in b.jpg)',
        f'{folder}/val2017/a.jpg: image file is missing']
    assert [path.name for path in data.train.paths] == ['a.jpg']
    assert [path.name for path in data.test.paths] == ['b.jpg']
    with pytest.raises(UserError, match='2 problems in the annotations'):
        load_data(folder, strict=True)


@pytest.mark.parametrize('changes', [{'annotations': {}}, {'categories': None}],
                         ids=['a mapping', 'no categories'])
def test_a_file_that_is_not_cocos_is_named(write, changes):
    with pytest.raises(UserError, match=r'instances_train2017\.json: not a readable file of COCO'):
        load_data(write([], [], **changes))


def test_images_that_were_not_unpacked_are_asked_for(write):
    folder = write(BOTH, BOTH)
    for image in (folder / 'train2017').iterdir():
        image.unlink()
    with pytest.raises(UserError, match=r'none of the 2 images is here; unpack train2017\.zip'):
        load_data(folder)


def test_categories_that_differ_between_the_splits_are_refused(write):
    folder = write(BOTH, BOTH)
    path = folder / 'annotations/instances_val2017.json'
    path.write_text(path.read_text().replace('"dog"', '"cow"'))
    with pytest.raises(UserError, match='the categories of instances_train2017.json and '
                       r'instances_val2017.json differ'):
        load_data(folder)


def test_val2017_alone_is_enough_to_evaluate_on(write):
    folder = write(BOTH, BOTH)
    (folder / 'annotations/instances_train2017.json').unlink()
    data = load_data(folder, train=False)
    assert (len(data.train), len(data.test), data.label_names) == (0, 2, ('cat', 'dog'))


@pytest.mark.parametrize('setting', [{'difficult': True}, {'split': '07'}], ids=str)
def test_settings_of_voc_are_refused(write, setting):
    with pytest.raises(UserError, match='leave out --difficult and --split'):
        load_data(write(BOTH, BOTH), **setting)


def test_an_object_of_a_category_that_is_not_listed_is_ignored(write):
    data = load_data(write([*BOTH, entry(3, 3, 99, [1, 1, 20, 20])], BOTH))
    assert data.train.examples[0].ignored.tolist() == [[1, 1, 21, 21]]
    assert "1 objects of class 'category 99' are ignored" in '\n'.join(data.notes)


def test_images_of_one_name_are_those_of_their_own_set(write):
    folder = write(BOTH, BOTH)
    data = load_data(folder)
    assert {path.parent.name for path in data.train.paths} == {'train2017'}
    assert {path.parent.name for path in data.test.paths} == {'val2017'}


def test_train_takes_the_folder(write, tmp_path):
    out = tmp_path / 'out'
    large = [entry(number, number, CAT, [2, 2, 30, 25]) for number in (3, 7)]
    train.main(['--data', str(write(large, BOTH)), '--model', 'slim300', '--iteration', '1',
                '--batchsize', '2', '--loader-processes', '0', '--cuts', '--out', str(out)])
    assert set(json.loads((out / 'metrics.json').read_text())['ap']) == {'cat', 'dog'}
