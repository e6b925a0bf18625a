"""VOC's layout: Annotations/, JPEGImages/ and ImageSets/Main/, alone or in a VOCdevkit."""
import os
from pathlib import Path

from multibox.data.annotations import Annotation
from multibox.data.classes import read_label_names, short_list
from multibox.data.layouts.found import Found
from multibox.data.layouts.roles import by_folder
from multibox.data.listing import IMAGE_FOLDERS, Files, inner, normal
from multibox.data.pictures import SUFFIXES
from multibox.data.splits import (
    SPLITS,
    devkit_splits,
    find_devkit,
    folder_splits,
    read_ids,
)
from multibox.data.voc_xml import read_xml
from multibox.errors import UserError

from chainercv.datasets import voc_bbox_label_names
from tqdm import tqdm


def read_devkit(folder: Path, split: str, train: bool) -> Found | None:
    """Read one of the paper's splits from a VOCdevkit, or from a folder that holds one.

    Returns:
        :class:`Found`, or None if there is no VOCdevkit.

    Raises:
        UserError: a list is missing or cannot be read, or the classes are not VOC's.
    """
    devkit = find_devkit(folder)
    if devkit is None:
        return None
    if not train and split == '07+12' and (devkit / 'VOC2007' / 'Annotations').is_dir():
        split = '07'  # the same test images, whether or not VOC2012 is on the disk
    for path in (parent / 'labels.txt' for parent in (folder, devkit, devkit / 'VOC2007')):
        if os.path.lexists(path) and (devkit / 'VOC2007').is_dir():
            found = read_voc(devkit / 'VOC2007', SPLITS[1], train)
            if found:
                found.notes.append(f"{path}: gives the classes, instead of VOC's own 20")
                return found._replace(label_names=read_label_names(path, found.notes))
    *splits, notes = devkit_splits(devkit, split)
    label_names = voc_bbox_label_names
    train_set, test_set = (
        [annotation for year, name in names
         for annotation in read_folder(year, read_ids(year, name, notes), notes)]
        for names in (splits[0] if train else [], splits[1]))
    _refuse_other_classes(devkit, train_set + test_set, label_names)
    return Found(train_set, test_set, label_names, notes)


def _refuse_other_classes(devkit, annotations, label_names):
    names = {entry.name for annotation in annotations for entry in annotation.entries}
    if names and not names & set(label_names):
        shown = short_list(sorted(map(str, names)))
        raise UserError(f"{devkit}: has the layout of a VOCdevkit, but its classes ({shown}) are "
                        f"not VOC's; give --data {devkit / 'VOC2007'}, or write labels.txt into it")


def read_voc(folder: Path, split: str, train: bool) -> Found | None:
    """Read a folder with Annotations/ and JPEGImages/.

    Returns:
        :class:`Found`, or None if the folder has another layout.

    Raises:
        UserError: a list is missing or cannot be read.
    """
    known = Files(inner(folder, 'Annotations'), ['.xml'])
    if not any(known) and not (folder / 'ImageSets' / 'Main').is_dir():
        return None
    if split != SPLITS[1]:
        raise UserError(f'--split {split}: {folder} is not a VOCdevkit; leave --split out')
    train_lists, test_lists, notes = folder_splits(folder, train)
    train_set, test_set = ([annotation for name in names for annotation in
                            read_folder(folder, read_ids(folder, name, notes), notes)]
                           for names in (train_lists, test_lists))
    if not train_lists and not test_lists:
        return by_folder(read_folder(folder, sorted(known), notes), folder, notes, train)
    return Found(train_set, test_set, None, notes, divided=bool(test_lists))


def read_folder(folder: Path, names: list[str], notes: list) -> list[Annotation]:
    """Read the annotations of some images.

    Args:
        folder: holds Annotations/ and JPEGImages/.
        names: file names without suffix.
        notes: list of str, to which remarks are added.
    """
    annotated, pictured = inner(folder, 'Annotations'), inner(folder, 'JPEGImages')
    files, images = Files(annotated, ['.xml']), Files(pictured, SUFFIXES)
    if not pictured.is_dir():
        images = _images_elsewhere(folder, names)
    wanted = set(map(normal, names))
    for paths in images.several():
        if normal(paths[0].stem) in wanted:
            notes.append(f'{paths[0]}: there are also '
                         f'{", ".join(path.name for path in paths[1:])}; the first is used')
    annotations = []
    for name in tqdm(names, desc='Reading annotations', unit='file', delay=2, leave=False,
                     disable=None):
        path = next(iter(files.find(name)), annotated / f'{name}.xml')
        found = images.find(name)
        fault = None if found else (
            pictured / f'{name}.jpg', 'image file is missing')
        annotations.append(read_xml(path, next(iter(found), None), fault))
    return annotations


def _images_elsewhere(folder, names):
    """The images in the folder that holds most of the named ones, or is called after images."""
    candidates = [Files(path, SUFFIXES) for path in sorted(
        (folder, *filter(Path.is_dir, folder.iterdir())),
        key=lambda path: path.name.lower() not in IMAGE_FOLDERS)]
    return max(candidates, key=lambda files: sum(map(bool, map(files.find, names))))
