"""Annotated images in VOC's layout, as the tests of XML and of boxes write them."""
from multibox.data.frames import place
from multibox.data.inspection import inspect_all
from multibox.data.layouts.voc import read_folder

from PIL import Image

WIDTH, HEIGHT = 100, 80
SIZE = f'<size><width>{WIDTH}</width><height>{HEIGHT}</height></size>'
NUMBERS = {'cat': 0, 'dog': 1}


def bndbox(xmin, ymin, xmax, ymax):
    return (f'<bndbox><xmin>{xmin}</xmin><ymin>{ymin}</ymin>'
            f'<xmax>{xmax}</xmax><ymax>{ymax}</ymax></bndbox>')


def voc_object(coordinates=(11, 21, 31, 41), name='cat', rest=''):
    return f'<object><name>{name}</name>{rest}{bndbox(*coordinates)}</object>'


GOOD = voc_object()


def write(folder, xml, example_id='a', image='a.jpg'):
    """Write one annotation and its image. ``xml`` is a whole annotation or the elements in it."""
    for name in ('Annotations', 'JPEGImages'):
        (folder / name).mkdir(exist_ok=True)
    if not xml.startswith('<!') and '<annotation>' not in xml:
        xml = f'<annotation>{xml}</annotation>'
    (folder / 'Annotations' / f'{example_id}.xml').write_text(xml)
    if image:
        Image.new('RGB', (WIDTH, HEIGHT)).save(folder / 'JPEGImages' / image)


def read(folder, ids):
    """The examples of some images, the problems, and the notes on boxes."""
    annotations = read_folder(folder, ids, [])
    pictures = inspect_all([annotation.image for annotation in annotations if annotation.image],
                           str(folder))
    placed = [place(annotation, pictures.get(annotation.image, ''), NUMBERS)
              for annotation in annotations]
    return ([each.example for each in placed if each.example],
            [problem for each in placed for problem in each.problems],
            [note for each in placed for note in each.notes])


def read_one(folder, xml, **kwargs):
    """Write one annotation and its image, and read them."""
    write(folder, xml, **kwargs)
    return read(folder, ['a'])
