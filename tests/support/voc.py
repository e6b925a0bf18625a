"""Folders in the layout of VOC."""
from PIL import Image

GOOD = (5, 6, 25, 16)  # xmin, ymin, xmax, ymax
NO_AREA = (5, 6, 5, 16)
VOC2007 = {'train': ['07t'], 'val': ['07v'], 'trainval': ['07t', '07v'], 'test': ['07e']}
VOC2012 = {'train': ['12t'], 'val': ['12v'], 'trainval': ['12t', '12v']}


def write(folder, splits, labels=None, **objects):
    """Write a folder in the layout of VOC with images of 40 x 30 pixels, and return it.

    Args:
        folder: path of the folder.
        splits: a dict from the name of a split to the ids of its images.
        labels: content of labels.txt; None writes no such file.
        objects: per id a list of (class name, coordinates, difficult). Other ids have one cat.
    """
    for name in ('Annotations', 'ImageSets/Main', 'JPEGImages'):
        (folder / name).mkdir(parents=True, exist_ok=True)
    for split, ids in splits.items():
        (folder / 'ImageSets/Main' / f'{split}.txt').write_text(''.join(f'{i}\n' for i in ids))
        for example_id in ids:
            entries = ''.join(
                f'<object><name>{name}</name><difficult>{difficult}</difficult><bndbox>'
                f'<xmin>{xmin}</xmin><ymin>{ymin}</ymin><xmax>{xmax}</xmax><ymax>{ymax}</ymax>'
                '</bndbox></object>' for name, (xmin, ymin, xmax, ymax), difficult
                in objects.get(example_id, [('cat', GOOD, 0)]))
            (folder / 'Annotations' / f'{example_id}.xml').write_text(
                f'<annotation>{entries}</annotation>')
            Image.new('RGB', (40, 30)).save(folder / 'JPEGImages' / f'{example_id}.jpg')
    if labels:
        (folder / 'labels.txt').write_text(labels)
    return folder


def stems(dataset):
    return [path.stem for path in dataset.paths]
