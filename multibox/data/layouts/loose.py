"""Images and annotation files of VOC in one folder, or in any folders, as labelImg writes them."""
from pathlib import Path

from multibox.data.annotations import Annotation
from multibox.data.layouts.found import Found
from multibox.data.layouts.roles import by_folder
from multibox.data.listing import Tree, walk
from multibox.data.voc_xml import XMLError, read_root, read_xml

from tqdm import tqdm

EQUALLY_NEAR = ('the folders of {0} and {1} are equally near; leave the images of one, or move the '
                'annotation beside its image')


def read_loose(folder: Path, train: bool) -> Found | None:
    """Read a folder in which every annotation file lies near its image.

    An annotation belongs to the nearest image of its name, else to the image that it names. An
    image without annotation is not used, because nobody has said that it holds no object. The names
    of folders may say which set an annotation is for.

    Args:
        folder: the folder.
        train: False asks for the set to evaluate on only.

    Returns:
        :class:`Found`; None if there is no annotation file.
    """
    files = [path for path in walk(folder) if path.suffix.lower() == '.xml']
    if not files:
        return None
    notes: list[str] = []
    tree = Tree(folder)
    images = {path: [image for image in tree.nearest(path.stem, path)
                     if image.parent == path.parent] for path in files}
    taken = {image for each in images.values() for image in each}
    annotations = [_read(path, images[path], tree, taken, notes) for path in tqdm(
        files, desc='Reading annotations', unit='file', delay=2, leave=False, disable=None)]
    annotations = _refuse_second(annotations)
    n_without = len(set(tree.images) - {annotation.image for annotation in annotations})
    if n_without:
        notes.append(f'{folder}: {n_without} images have no annotation file; they are not used')
    return by_folder(annotations, folder, notes, train)


def _read(path, beside, tree, taken, notes):
    images = beside or [image for image in tree.nearest(path.stem, path) if image not in taken]
    if len(images) != 1:
        try:
            name = (read_root(path).findtext('filename') or '').strip().replace('\\', '/')
        except XMLError:
            name = ''
        name = Path(name).name
        images = images or [image for image in tree.nearest(Path(name).stem, path, name)
                            if image not in taken]
        images = sorted(images, key=lambda image: image.name != name)
    if len({image.parent for image in images}) > 1:
        return Annotation(path, None, [], fault=(path, EQUALLY_NEAR.format(*images)))
    if not images:
        return read_xml(path, None, (path.with_suffix('.jpg'), 'image file is missing'))
    if len(images) > 1:
        notes.append(f'{images[0]}: there are also '
                     f'{", ".join(image.name for image in images[1:])}; the first is used')
    return read_xml(path, images[0])


def _refuse_second(annotations):
    """Mark an annotation whose image has another annotation already."""
    first: dict = {}
    return [annotation if first.setdefault(annotation.image or n, annotation) is annotation
            else annotation._replace(fault=(annotation.file, f'{annotation.image} has another '
                                            f'annotation, {first[annotation.image].file}'))
            for n, annotation in enumerate(annotations)]
