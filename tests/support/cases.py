"""Small data sets of flat rectangles, one colour per class, so that pixels tell where a box is.

Every image has a bolt and a nut. The writers of all layouts write the same images.
"""
import json
from typing import NamedTuple

from multibox.data import check as program
from multibox.errors import UserError

import numpy as np
from PIL import Image, ImageDraw

COLOURS = {'bolt': (220, 40, 40), 'nut': (40, 60, 220), 'cog': (240, 220, 30)}
BACKGROUND = (120, 130, 120)
NAMES = 'bolt', 'nut'
SIZE = 160, 120  # width and height
N = 6
TRAIN, TEST = range(4), range(4, 6)
# Pillow's operations that turn an upright image to the pixels stored with an orientation of EXIF.
TO_STORED = {2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180,
             4: Image.Transpose.FLIP_TOP_BOTTOM, 5: Image.Transpose.TRANSPOSE,
             6: Image.Transpose.ROTATE_90, 7: Image.Transpose.TRANSVERSE,
             8: Image.Transpose.ROTATE_270}


def stem(i):
    return f'im{i:03d}'


def objects(i):
    """The objects of image ``i``: list of (class, (x_min, y_min, x_max, y_max)) in edges."""
    return [('bolt', (10 + 3 * i, 20, 50 + 3 * i, 60)), ('nut', (80, 50 + 2 * i, 130, 95 + 2 * i))]


def bbox(i):
    """The same objects as {class: [y_min, x_min, y_max, x_max]}."""
    return {name: [box[1], box[0], box[3], box[2]] for name, box in objects(i)}


def paint(painted, size=SIZE):
    """An image of the given objects."""
    image = Image.new('RGB', size, BACKGROUND)
    for name, (x_min, y_min, x_max, y_max) in painted:
        ImageDraw.Draw(image).rectangle((x_min, y_min, x_max - 1, y_max - 1), COLOURS[name])
    return image


def save(path, image, orientation=1):
    """Save an upright image, stored as cameras do: its pixels are turned, and EXIF tells how."""
    path.parent.mkdir(parents=True, exist_ok=True)
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = image.transpose(TO_STORED[orientation]) if orientation > 1 else image
    stored.save(path, **({} if path.suffix == '.bmp' else {'exif': exif, 'quality': 95}))


def stored_box(box, orientation, size=SIZE):
    """A box of the upright image, (x_min, y_min, x_max, y_max) in edges, in the stored pixels."""
    mask = Image.new('L', size)
    ImageDraw.Draw(mask).rectangle((*box[:2], box[2] - 1, box[3] - 1), 255)
    return (mask.transpose(TO_STORED[orientation]) if orientation > 1 else mask).getbbox()


def stored_size(orientation, size=SIZE):
    return size[::-1] if orientation > 4 else size


def xml_object(name, box, origin=1, rest=''):
    """The XML of an object. Its box is in edges; VOC counts pixels from 1."""
    x_min, y_min, x_max, y_max = box
    corners = x_min + origin, y_min + origin, x_max + origin - 1, y_max + origin - 1
    return raw_object(name, *corners, rest=rest)


def raw_object(name, xmin, ymin, xmax, ymax, rest=''):
    """The XML of an object with corners as they shall be written."""
    return (f'<object><name>{name}</name>{rest}<bndbox><xmin>{xmin}</xmin><ymin>{ymin}</ymin>'
            f'<xmax>{xmax}</xmax><ymax>{ymax}</ymax></bndbox></object>')


def xml(inner, size=SIZE, filename='x.png'):
    """An annotation; ``inner`` is the XML of its objects, or a list as of :func:`objects`."""
    if not isinstance(inner, str):
        inner = ''.join(xml_object(*each) for each in inner)
    frame = '' if size is None else (
        f'<size><width>{size[0]}</width><height>{size[1]}</height><depth>3</depth></size>')
    return f'<annotation><filename>{filename}</filename>{frame}{inner}</annotation>'


def voc(folder, suffix='.png', lists=True):
    """Write the images in VOC's layout, four to train and two to test, and return the folder."""
    (folder / 'Annotations').mkdir(parents=True)
    for i in range(N):
        save(folder / 'JPEGImages' / f'{stem(i)}{suffix}', paint(objects(i)))
        (folder / 'Annotations' / f'{stem(i)}.xml').write_text(xml(objects(i)))
    if lists:
        write_lists(folder, trainval=map(stem, TRAIN), test=map(stem, TEST))
    return folder


def write_lists(folder, **lists):
    main = folder / 'ImageSets' / 'Main'
    main.mkdir(parents=True, exist_ok=True)
    for name, lines in lists.items():
        (main / f'{name}.txt').write_text(''.join(f'{line}\n' for line in lines), encoding='utf-8')


def coco_content(numbers, size=SIZE):
    """A COCO file of some images as a dict; the ids of annotations are 10 i and 10 i + 1."""
    return {'images': [{'id': i, 'file_name': f'{stem(i)}.png', 'width': size[0],
                        'height': size[1]} for i in numbers],
            'categories': [{'id': n, 'name': name} for n, name in enumerate(NAMES, start=1)],
            'annotations': [
                {'id': 10 * i + k, 'image_id': i, 'category_id': NAMES.index(name) + 1,
                 'iscrowd': 0, 'bbox': [box[0], box[1], box[2] - box[0], box[3] - box[1]]}
                for i in numbers for k, (name, box) in enumerate(objects(i))]}


def coco(folder, change=lambda content: None, images='images'):
    """Write the images in COCO's layout; ``change`` may change the dict of each file."""
    for role, numbers in (('train', TRAIN), ('val', TEST)):
        for i in numbers:
            save(folder / images / f'{stem(i)}.png', paint(objects(i)))
        content = coco_content(numbers)
        change(content)
        write_json(folder / 'annotations' / f'instances_{role}.json', content)
    return folder


def write_json(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content), encoding='utf-8')


def yolo_lines(placed, size=SIZE):
    """The label file of some objects, as shares of the width and the height."""
    lines = ''
    for name, (x_min, y_min, x_max, y_max) in placed:
        values = ((x_min + x_max) / 2 / size[0], (y_min + y_max) / 2 / size[1],
                  (x_max - x_min) / size[0], (y_max - y_min) / size[1])
        lines += f'{NAMES.index(name)} {" ".join(f"{value:.6f}" for value in values)}\n'
    return lines


def yolo(folder, image='images/{part}/{stem}.png', label='labels/{part}/{stem}.txt',
         parts=('train', 'val')):
    """Write the images in YOLO's layout, without data.yaml."""
    for part, numbers in zip(parts, (TRAIN, TEST)):
        for i in numbers:
            save(folder / image.format(part=part, stem=stem(i)), paint(objects(i)))
            path = folder / label.format(part=part, stem=stem(i))
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(yolo_lines(objects(i)))
    return folder


class Result(NamedTuple):
    """The end of ``python -m multibox.data check``: its JSON in parts, or its error."""
    error: str | None
    train: dict
    test: dict
    label_names: list
    problems: list
    notes: str


def check(folder, *flags):
    """Run the program on a folder; examples come as {file name: example}."""
    out = folder.parent / f'{folder.name}-check.json'
    try:
        program.main(['check', str(folder), '--json', str(out), *flags])
    except UserError as error:
        return Result(str(error), {}, {}, [], [], '')
    content = json.loads(out.read_text(encoding='utf-8'), parse_constant=_refuse)
    sets = []
    for part in ('train', 'test'):
        sets.append({example['image'].rpartition('/')[2]: example for example in content[part]})
        for example in content[part]:
            _require_proper(example)
    return Result(None, *sets, content['label_names'], content['problems'],
                  '\n'.join(content['notes']))


def _refuse(constant):
    raise AssertionError(f'{constant} is no JSON')


def _require_proper(example):
    height, width = example['size']
    assert len(example['bbox']) == len(example['label']) == len(example['difficult'])
    for y_min, x_min, y_max, x_max in example['bbox'] + example['ignored']:
        assert 0 <= y_min < y_max <= height and 0 <= x_min < x_max <= width


def assert_placed(example, i, scale=1, atol=1.1):
    """The boxes of an example are those of image ``i``, which VOC's rounding moves by a pixel."""
    assert sorted(example['label']) == sorted(NAMES)
    for name, box in zip(example['label'], example['bbox']):
        np.testing.assert_allclose(box, np.multiply(bbox(i)[name], scale), atol=atol)


def assert_on_colours(data, n, atol=1.5):
    """Every box surrounds the pixels of the colour of its class, in ``n`` images."""
    datasets = data.train, data.test
    assert sum(map(len, datasets)) == n
    for dataset in datasets:
        for img, boxes, label, _ in (dataset[i] for i in range(len(dataset))):
            assert len(label)
            for box, name in zip(boxes, (data.label_names[k] for k in label)):
                colour = np.array(COLOURS[name])[:, None, None]
                rows, columns = np.nonzero(abs(img - colour).max(axis=0) < 60)
                painted = rows.min(), columns.min(), rows.max() + 1, columns.max() + 1
                np.testing.assert_allclose(box, painted, atol=atol)
                y_min, x_min, y_max, x_max = np.round(box).astype(int)
                inside = img[:, y_min + 2:y_max - 2, x_min + 2:x_max - 2].mean(axis=(1, 2))
                np.testing.assert_allclose(inside, COLOURS[name], atol=8)
