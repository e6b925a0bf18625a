"""Rotated photographs: a box is on its object, in whichever frame it was drawn.

The pixels decide: the mean colour inside of a box must be that of its class.
"""
from multibox.data import load_data
from tests.support import cases

import pytest
from PIL import Image

ORIENTATIONS = range(1, 9)
SIZED = pytest.mark.parametrize('sized', [True, False], ids=['with a size', 'without'])
SUFFIX = pytest.mark.parametrize('suffix', ['.jpg', '.png', '.webp', '.tif'])


def stored(placed, orientation):
    return [(name, cases.stored_box(box, orientation)) for name, box in placed]


def write_voc(folder, orientation, frame, sized, suffix='.png'):
    for i in range(5):
        placed = cases.objects(i)
        image = cases.paint(placed)
        cases.save(folder / f'{cases.stem(i)}{suffix}', image, orientation)
        size = cases.SIZE
        if frame == 'stored':
            placed, size = stored(placed, orientation), cases.stored_size(orientation)
        (folder / f'{cases.stem(i)}.xml').write_text(cases.xml(placed, size if sized else None))
    return folder


@pytest.mark.parametrize('orientation', ORIENTATIONS)
@SIZED
def test_voc_in_the_upright_frame(tmp_path, orientation, sized):
    data = load_data(write_voc(tmp_path, orientation, 'upright', sized))
    assert data.problems == []
    cases.assert_on_colours(data, 5)


@pytest.mark.parametrize('orientation', [5, 6, 7, 8])
def test_voc_in_the_stored_frame_with_its_size(tmp_path, orientation):
    data = load_data(write_voc(tmp_path, orientation, 'stored', True))
    assert data.problems == []
    cases.assert_on_colours(data, 5)


@pytest.mark.parametrize('orientation', [5, 6, 7, 8])
def test_voc_in_the_stored_frame_that_only_the_boxes_tell(tmp_path, orientation):
    wide = [('nut', (10, 125, 60, 155)), ('bolt', (70, 20, 110, 150))]  # in 120 x 160 upright
    for i in range(3):
        image = cases.paint(wide, (120, 160))
        cases.save(tmp_path / f'{i}.png', image, orientation)
        placed = [(name, cases.stored_box(box, orientation, (120, 160))) for name, box in wide]
        (tmp_path / f'{i}.xml').write_text(cases.xml(placed, None))
    cases.assert_on_colours(load_data(tmp_path), 3)


@SUFFIX
def test_suffixes_of_rotated_photographs(tmp_path, suffix):
    cases.assert_on_colours(load_data(write_voc(tmp_path, 6, 'upright', True, suffix)), 5)


@SUFFIX
def test_suffixes_of_rotated_photographs_in_the_stored_frame(tmp_path, suffix):
    cases.assert_on_colours(load_data(write_voc(tmp_path, 8, 'stored', True, suffix)), 5)


@pytest.mark.parametrize('orientation', [6, 8])
@pytest.mark.parametrize('factor', [2, 1 / 2])
@pytest.mark.parametrize('frame', ['upright', 'stored'])
def test_a_rotated_photograph_of_another_size(tmp_path, orientation, factor, frame):
    write_voc(tmp_path, orientation, frame, True)
    for i in range(5):
        image = cases.paint(cases.objects(i))
        size = [round(side * factor) for side in image.size]
        cases.save(tmp_path / f'{cases.stem(i)}.png',
                   image.resize(size, Image.Resampling.NEAREST), orientation)
    data = load_data(tmp_path)
    assert len([note for note in data.notes if 'scaled' in note]) == 5
    cases.assert_on_colours(data, 5, atol=2.6)


@pytest.mark.parametrize('orientation', ORIENTATIONS)
@SIZED
@pytest.mark.parametrize('frame', ['upright', 'stored'])
def test_coco(tmp_path, orientation, sized, frame):
    if frame == 'stored' and (not sized or orientation < 5):
        return  # nothing in the file tells the two frames apart

    def change(content):
        for image in content['images']:
            size = cases.stored_size(orientation) if frame == 'stored' else cases.SIZE
            image.update(zip(('width', 'height'), size if sized else (None, None)))
        for entry in content['annotations']:
            x, y, width, height = entry['bbox']
            box = (x, y, x + width, y + height)
            if frame == 'stored':
                box = cases.stored_box(box, orientation)
            entry['bbox'] = [box[0], box[1], box[2] - box[0], box[3] - box[1]]

    cases.coco(tmp_path, change)
    for i in range(cases.N):
        cases.save(tmp_path / 'images' / f'{cases.stem(i)}.png', cases.paint(cases.objects(i)),
                   orientation)
    data = load_data(tmp_path)
    assert data.problems == []
    cases.assert_on_colours(data, cases.N, atol=0.1)


@pytest.mark.parametrize('orientation', ORIENTATIONS)
def test_yolo_in_the_upright_frame(tmp_path, orientation):
    cases.yolo(tmp_path)
    (tmp_path / 'classes.txt').write_text('bolt\nnut\n')
    for path in tmp_path.rglob('*.png'):
        i = int(path.stem[2:])
        cases.save(path, cases.paint(cases.objects(i)), orientation)
    data = load_data(tmp_path)
    assert data.problems == []
    cases.assert_on_colours(data, cases.N, atol=0.1)


def test_a_damaged_orientation_says_nothing(tmp_path):
    write_voc(tmp_path, 1, 'upright', True, '.jpg')
    for path in tmp_path.glob('*.jpg'):
        exif = Image.Exif()
        exif[0x0112] = 99
        Image.open(path).save(path, exif=exif, quality=95)
    cases.assert_on_colours(load_data(tmp_path), 5)
