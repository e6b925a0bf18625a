"""Readers of annotations: one file of a small data set is attacked, the others are good."""
import functools
import io
import json

from multibox.data.classes import read_label_names
from multibox.data.load import look
from multibox.data.voc_xml import XMLError, read_root, read_xml
from multibox.errors import UserError
from tests.fuzz import strategies
from tests.fuzz.targets.target import Target, put

import numpy as np
from PIL import Image

WIDTH, HEIGHT = 40, 30
XML = ('<annotation><size><width>40</width><height>30</height><depth>3</depth></size><object><name>'
       'cat</name><difficult>0</difficult><bndbox><xmin>5</xmin><ymin>6</ymin><xmax>25</xmax><ymax>'
       '16</ymax></bndbox></object></annotation>')
ENCODED = '<?xml version="1.0" encoding="GBK"?>' + XML.replace('cat', '猫')
ENTITIES = '<!DOCTYPE a [<!ENTITY b "cat"><!ENTITY c "&b;&b;">]>' + XML.replace('cat', '&c;')
COCO = {'images': [{'id': n, 'file_name': f'{n}.jpg', 'width': WIDTH, 'height': HEIGHT}
                   for n in range(3)],
        'annotations': [{'id': n, 'image_id': n, 'category_id': 1, 'bbox': [5, 6, 20, 10],
                         'iscrowd': 0, 'area': 200} for n in range(3)],
        'categories': [{'id': 1, 'name': 'cat'}, {'id': 2, 'name': 'dog'}]}
YAML = ('path: .\ntrain: images/train\nval: images/val\nnc: 2\nnames:\n  0: cat\n  1: dog\n',
        'train: images/train\nval: [images/val]\nnames: [cat, dog]\n',
        'train: images/list.txt\nval: images/val\nnames: &n [cat, dog]\nother: *n\n')
TABLE = ('filename,width,height,class,xmin,ymin,xmax,ymax\n'
         + ''.join(f'{n}.jpg,40,30,cat,5,6,25,16\n' for n in range(3)))


@functools.cache
def _jpeg():
    file = io.BytesIO()
    Image.new('RGB', (WIDTH, HEIGHT)).save(file, 'JPEG')
    return file.getvalue()


def _look(folder):
    """Read a folder, and assert that all boxes are proper and inside their pictures."""
    data = look(folder)
    for dataset in data.train, data.test:
        for example in dataset.examples:
            n = len(example.bbox)
            assert len(example.label) == len(example.difficult) == n
            assert np.isfinite(example.bbox).all() and np.isfinite(example.ignored).all()
            for boxes in example.bbox, example.ignored:
                assert (boxes >= 0).all() and (boxes <= np.tile(example.size, 2)).all(), boxes
                assert (boxes[:, :2] < boxes[:, 2:]).all(), boxes
            assert (example.label >= 0).all() and (example.label < len(data.label_names)).all()
    assert all(isinstance(name, str) for name in data.label_names)
    json.dumps([*map(str, data.problems), *data.notes], allow_nan=False)
    return data


def _xml(folder, content):
    path = put(folder / 'a.xml', content)
    annotation = read_xml(path, None)
    for entry in annotation.entries:
        assert entry.box is None or len(entry.box) == 4, entry
    return read_root(path)


def _voc(folder, content, name):
    for n in range(4):
        put(folder / f'JPEGImages/{n}.jpg', _jpeg())
        put(folder / f'Annotations/{n}.xml', XML)
    put(folder / 'ImageSets/Main/trainval.txt', '0\n1\n2\n')
    put(folder / 'ImageSets/Main/test.txt', '3\n')
    put(folder / name, content)
    return _look(folder)


def _coco(folder, content, name='instances_default.json'):
    for n in range(3):
        put(folder / f'images/{n}.jpg', _jpeg())
    put(folder / name, content)
    return _look(folder)


def _yolo(folder, content, name):
    for n in range(4):
        part = 'train' if n < 3 else 'val'
        put(folder / f'images/{part}/{n}.jpg', _jpeg())
        put(folder / f'labels/{part}/{n}.txt', '0 0.4 0.4 0.5 0.5\n')
    put(folder / 'images/list.txt', 'images/train/0.jpg\n./train/1.jpg\n')
    put(folder / 'data.yaml', YAML[0])
    put(folder / name, content)
    return _look(folder)


def _flat(folder, content, name):
    for n in range(3):
        put(folder / f'{n}.jpg', _jpeg())
        if name.endswith('.xml'):
            put(folder / f'{n}.xml', XML)
    put(folder / name, content)
    return _look(folder)


def _labels(folder, content):
    names = read_label_names(put(folder / 'labels.txt', content), [])
    assert names and all(isinstance(name, str) and name for name in names), names
    assert len(set(names)) == len(names)
    return names


def _target(read, seeds, *clean, strategy=None, **options):
    files = [seed.encode() if isinstance(seed, str) else seed for seed in seeds]
    return Target(lambda: files, functools.partial(read, **options), clean or (UserError,),
                  strategy)


XMLS = [XML, ENCODED.encode('gbk'), XML.encode('utf-16'), ENTITIES]
COCOS = [json.dumps(COCO)]
LIST = ['0\n1\n2\n', '0 1\n1 -1\n2.jpg 0\n']
TARGETS = {
    'xml': _target(_xml, XMLS, XMLError, strategy=strategies.voc_xml()),
    'voc': _target(_voc, XMLS, name='Annotations/1.xml', strategy=strategies.voc_xml()),
    'voc-list': _target(_voc, LIST, name='ImageSets/Main/trainval.txt',
                        strategy=strategies.lines('0', '1', '2')),
    'voc-labels': _target(_voc, ['cat\ndog\n'], name='labels.txt',
                          strategy=strategies.lines('cat', 'dog')),
    'coco': _target(_coco, COCOS, strategy=strategies.mutated_json(COCO)),
    'coco-other-name': _target(_coco, COCOS, name='train.json',
                               strategy=strategies.mutated_json(COCO)),
    'yolo-yaml': _target(_yolo, YAML, name='data.yaml', strategy=strategies.data_yaml()),
    'yolo-labels': _target(_yolo, ['0 0.4 0.4 0.5 0.5\n1 0.1 0.1 0.2 0.1 0.2 0.3\n'],
                           name='labels/train/1.txt', strategy=strategies.yolo_labels()),
    'yolo-list': _target(_yolo, ['images/train/0.jpg\n./train/1.jpg\n'], name='images/list.txt'),
    'table': _target(_flat, [TABLE, TABLE.replace(',', ';'), TABLE.encode('utf-8-sig')],
                     name='train.csv', strategy=strategies.table()),
    'loose': _target(_flat, XMLS, name='1.xml', strategy=strategies.voc_xml()),
    'labels': _target(_labels, ['cat\ndog\n', '\ufeffcat\r\nblack dog\r\n'],
                      strategy=strategies.lines('cat', 'background')),
}
