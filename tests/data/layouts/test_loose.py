"""Images and annotation files of VOC in any folders, as labelImg and Roboflow write them."""
from multibox.data import load_data
from tests.support import cases
from tests.support.cases import check, objects, stem, xml

import pytest

TEN = range(10)


def write(folder, image='{stem}.png', annotation='{stem}.xml', numbers=TEN,
          filename='x.png'):
    """Write images and annotations under names that may hold {stem} and {i}."""
    for i in numbers:
        names = {'stem': stem(i), 'i': i}
        cases.save(folder / image.format(**names), cases.paint(objects(i)))
        path = folder / annotation.format(**names)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(xml(objects(i), filename=filename.format(**names)))
    return folder


@pytest.mark.parametrize('image, annotation', [
    ('{stem}.png', '{stem}.xml'), ('images/{stem}.png', 'annotations/{stem}.xml'),
    ('images/{stem}.png', 'labels/{stem}.xml'), ('imgs/a/{stem}.png', 'xml/a/{stem}.xml'),
    ('{stem}.JPG', '{stem}.xml'), ('data/{stem}.png', 'data/{stem}.XML'),
    ('{i}/{stem}.png', '{i}/{stem}.xml'), ('images/{stem}.png', '{stem}.xml'),
    ('JPEGImages/{stem}.png', 'xmls/{stem}.xml')])
def test_places_of_images_and_annotations(tmp_path, image, annotation):
    result = check(write(tmp_path, image, annotation))
    assert (len(result.train), len(result.test), result.problems) == (8, 2, [])
    assert result.label_names == ['bolt', 'nut']
    assert '8 images to train and 2 to evaluate were drawn at random' in result.notes


def test_the_division_is_that_of_every_run(tmp_path):
    first = check(write(tmp_path))
    assert check(tmp_path) == first


@pytest.mark.parametrize('annotation', ['{i}/1.xml', 'xml/{i}/1.xml'])
@pytest.mark.parametrize('image', ['{i}/1.png', 'imgs/{i}/1.png'])
def test_one_name_in_several_folders(tmp_path, image, annotation):
    cases.assert_on_colours(load_data(write(tmp_path, image, annotation, range(4))), 4)


def test_if_several_images_are_equally_near_the_annotation_is_listed(tmp_path):
    write(tmp_path, '{i}/1.png', 'xml/{i}.xml', range(2), filename='1.png')
    write(tmp_path / 'good', numbers=range(4))
    result = check(tmp_path)
    assert len(result.train) + len(result.test) == 4
    assert ['equally near' in problem['reason'] for problem in result.problems] == [True, True]


def test_the_file_name_in_an_annotation_counts_if_no_image_has_its_name(tmp_path):
    data = load_data(write(tmp_path, annotation='note-{i}.xml', filename='C:\\photos\\{stem}.png'))
    cases.assert_on_colours(data, 10)


def test_an_annotation_without_image_is_listed(tmp_path):
    (write(tmp_path) / 'im003.png').unlink()
    result = check(tmp_path)
    assert len(result.train) + len(result.test) == 9
    assert [problem['reason'] for problem in result.problems] == ['image file is missing']


def test_an_image_without_annotation_is_not_used_and_counted_in_a_note(tmp_path):
    (write(tmp_path) / 'im003.xml').unlink()
    result = check(tmp_path)
    assert len(result.train) + len(result.test) == 9 and result.problems == []
    assert '1 images have no annotation file; they are not used' in result.notes


def test_two_images_of_one_annotation_have_a_note(tmp_path):
    cases.save(write(tmp_path, filename='{stem}.png') / 'im003.bmp', cases.paint(objects(0)))
    result = check(tmp_path)
    assert 'im003.png: there are also im003.bmp; the first is used' in result.notes
    cases.assert_on_colours(load_data(tmp_path), 10)


@pytest.mark.parametrize('name', ['__MACOSX/._im000.xml', '.git/x.xml', '._im001.xml', '.im.png'])
def test_hidden_files_do_not_count(tmp_path, name):
    path = write(tmp_path) / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b'\0\5')
    result = check(tmp_path)
    assert (len(result.train), len(result.test), result.problems) == (8, 2, [])


@pytest.mark.parametrize('name', ['labels.txt', 'labelmap.txt'])
def test_a_list_of_classes_beside_the_images(tmp_path, name):
    text = 'nut\nbolt\n' if name == 'labels.txt' else (
        '# label:color_rgb:parts:actions\nbackground:0,0,0::\nnut:1,2,3::\nbolt:4,5,6::\n')
    (write(tmp_path) / name).write_text(text)
    assert check(tmp_path).label_names == ['nut', 'bolt']


@pytest.mark.parametrize('parts', [('train', 'valid', 'test'), ('train', 'valid'),
                                   ('train', 'test'), ('Train', 'Validation')], ids='-'.join)
def test_folders_for_training_and_testing(tmp_path, parts):
    for n, part in enumerate(parts):
        write(tmp_path / part, numbers=range(2 * n, 2 * n + 2))
    (tmp_path / 'README.roboflow.txt').write_text('exported')
    result = check(tmp_path)
    assert sorted(result.train) == ['im000.png', 'im001.png']
    assert sorted(result.test) == [f'{stem(2 * len(parts) - k)}.png' for k in (2, 1)]
    assert ('not used' in result.notes) == (len(parts) == 3)
    assert result.problems == []


def test_a_test_folder_alone_is_evaluated_on_as_a_whole(tmp_path):
    write(tmp_path / 'test')
    data = load_data(tmp_path, train=False)
    assert (len(data.train), len(data.test)) == (0, 10)


def test_train_alone_is_divided(tmp_path):
    write(tmp_path / 'train')
    result = check(tmp_path)
    assert (len(result.train), len(result.test)) == (8, 2)
