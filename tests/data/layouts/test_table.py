"""CSV tables with one object per row."""
from multibox.data import load_data
from tests.support import cases
from tests.support.cases import check, objects, stem

import pytest

COLUMNS = 'filename,width,height,class,xmin,ymin,xmax,ymax'


def rows(numbers, size=cases.SIZE, name='{}.png'):
    """Rows of a table; corners are pixels from 1."""
    return [f'{name.format(stem(i))},{size[0]},{size[1]},{kind},{x_min + 1},{y_min + 1},{x_max},'
            f'{y_max}' for i in numbers for kind, (x_min, y_min, x_max, y_max) in objects(i)]


def write(folder, tables, header=COLUMNS, images='images', convert=str, **kwargs):
    """Write tables, {name: numbers of images}, and all images."""
    for i in range(cases.N):
        cases.save(folder / images / f'{stem(i)}.png', cases.paint(objects(i)))
    for name, numbers in tables.items():
        text = '\n'.join([header, *rows(numbers, **kwargs)]) + '\n'
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(convert(text), encoding='utf-8')
    return folder


def without(*columns):
    """A conversion that removes columns by their positions."""
    def convert(text):
        lines = [line.split(',') for line in text.splitlines()]
        return '\n'.join(','.join(cell for n, cell in enumerate(line) if n not in columns)
                         for line in lines)
    return convert


def assert_read(result, n_train=4, n_test=2):
    assert (len(result.train), len(result.test), result.problems) == (n_train, n_test, [])
    assert result.label_names == ['bolt', 'nut']
    cases.assert_placed(result.train['im001.png'], 1)


TWO = {'train_labels.csv': cases.TRAIN, 'test_labels.csv': cases.TEST}


@pytest.mark.parametrize('convert', [
    str, without(1, 2), lambda text: text.replace(',', ';'), lambda text: '\ufeff' + text,
    lambda text: text.replace('\n', '\r\n'), lambda text: text.replace(',', ', '),
    lambda text: text.replace('filename', 'Filename').replace('xmin', 'XMin'),
    lambda text: '\n'.join(','.join(f'"{cell}"' for cell in line.split(','))
                           for line in text.splitlines()),
    lambda text: text + '\n\n', lambda text: text.replace(',', '\t'),
], ids=['plain', 'no size', 'semicolons', 'BOM', 'CRLF', 'spaces', 'capitals', 'quotes',
        'blank lines', 'tabs'])
def test_a_table_for_each_set(tmp_path, convert):
    assert_read(check(write(tmp_path, TWO, convert=convert)))


@pytest.mark.parametrize('images', ['.', 'images', 'img/all'])
@pytest.mark.parametrize('name', ['{}.png', 'images/{}.png', '.\\{}.png', 'C:\\x\\{}.png', '{}'])
def test_places_of_images(tmp_path, images, name):
    assert_read(check(write(tmp_path, TWO, images=images, name=name)))


def test_one_table_is_divided_alike_in_every_run(tmp_path):
    write(tmp_path, {'labels.csv': range(cases.N)})
    result = check(tmp_path)
    assert_read(result, 5, 1)
    assert 'drawn at random' in result.notes
    assert check(tmp_path).train == result.train


def test_roboflows_table_in_every_part(tmp_path):
    for part, numbers in (('train', cases.TRAIN), ('valid', cases.TEST)):
        (tmp_path / part).mkdir()
        text = '\n'.join([COLUMNS, *rows(numbers)]) + '\n'
        (tmp_path / part / '_annotations.csv').write_text(text)
        for i in numbers:
            cases.save(tmp_path / part / f'{stem(i)}.png', cases.paint(objects(i)))
    result = check(tmp_path)
    assert_read(result)
    assert sorted(result.test) == ['im004.png', 'im005.png']


def test_boxes_are_on_their_colours(tmp_path):
    cases.assert_on_colours(load_data(write(tmp_path, TWO)), 6)


@pytest.mark.parametrize('row', ['im001.png,160,120,nut,50,50,40,60', 'im001.png,160,120,nut,,,,',
                                 'im001.png,160,120,nut,a,1,2,3', 'im001.png,160,120,nut,1,2',
                                 'im001.png,160,120,nut,nan,1,5,5'])
def test_a_row_that_cannot_be_used_is_listed_by_its_line(tmp_path, row):
    write(tmp_path, TWO, convert=lambda text: text + row + '\n')
    result = check(tmp_path)
    assert sorted(result.train) == ['im000.png', 'im002.png', 'im003.png']
    assert 10 in [problem['object'] for problem in result.problems]


def test_an_image_that_is_missing_is_listed(tmp_path):
    (write(tmp_path, TWO) / 'images/im001.png').unlink()
    result = check(tmp_path)
    assert len(result.train) == 3 and len(result.problems) == 1
    assert result.problems[0]['file'].endswith('im001.png')


def test_a_row_without_object_is_an_image_without_objects(tmp_path):
    write(tmp_path, {'train_labels.csv': cases.TRAIN, 'test_labels.csv': [4]},
          convert=lambda text: text + 'im005.png,160,120,,,,,\n')
    assert check(tmp_path).test['im005.png']['bbox'] == []


def test_another_table_beside_it_does_not_count(tmp_path):
    write(tmp_path, TWO)
    (tmp_path / 'prices.csv').write_text('a,b\n1,2\n')
    assert_read(check(tmp_path))


def test_another_size_scales_the_boxes_with_a_note(tmp_path):
    write(tmp_path, TWO, size=(320, 240))
    result = check(tmp_path)
    assert result.notes.count('the boxes were scaled') == 6


def test_labels_txt_gives_the_classes_of_a_table(tmp_path):
    (write(tmp_path, TWO) / 'labels.txt').write_text('nut\nbolt\n')
    assert check(tmp_path).label_names == ['nut', 'bolt']
