"""Images and annotation files of VOC in one folder, or in any folders, as labelImg writes them."""
from pathlib import Path

from multibox.data.annotations import Annotation
from multibox.data.layouts.found import Found
from multibox.data.listing import Tree, walk
from multibox.data.voc_xml import XMLError, read_root, read_xml

from tqdm import tqdm


def read_loose(folder: Path) -> Found | None:
    """Read a folder in which every annotation file lies near its image.

    An annotation belongs to the nearest image of its name, else to the image that it names. An
    image without annotation is not used, because nobody has said that it holds no object.

    Returns:
        :class:`Found`, not divided; None if there is no annotation file.
    """
    files = [path for path in walk(folder) if path.suffix.lower() == '.xml']
    if not files:
        return None
    notes: list[str] = []
    tree = Tree(folder)
    annotations = [_read(path, tree, notes) for path in tqdm(
        files, desc='Reading annotations', unit='file', delay=2, leave=False, disable=None)]
    n_without = len(set(tree.images) - {annotation.image for annotation in annotations})
    if n_without:
        notes.append(f'{folder}: {n_without} images have no annotation file; they are not used')
    return Found(annotations, [], None, notes, divided=False)


def _read(path, tree, notes):
    images = tree.nearest(path.stem, path)
    if len(images) != 1:
        try:
            name = (read_root(path).findtext('filename') or '').strip().replace('\\', '/')
        except XMLError:
            name = ''
        name = Path(name).name
        images = images or tree.nearest(Path(name).stem, path, name)
        images = sorted(images, key=lambda image: image.name != name)
    if len({image.parent for image in images}) > 1:
        return Annotation(path, None, [], fault=(
            path, f'the folders of {" and ".join(map(str, images[:2]))} are equally near; move the '
            'annotation beside its image'))
    if not images:
        return read_xml(path, None, (path.with_suffix('.jpg'), 'image file is missing'))
    if len(images) > 1:
        notes.append(f'{images[0]}: there are also '
                     f'{", ".join(image.name for image in images[1:])}; the first is used')
    return read_xml(path, images[0])
