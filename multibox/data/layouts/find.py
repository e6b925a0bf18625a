"""Finding out which layout a folder has."""
import os
from collections import Counter
from pathlib import Path

from multibox.data.classes import read_label_names
from multibox.data.layouts.coco import coco_files, read_coco
from multibox.data.layouts.found import Found
from multibox.data.layouts.loose import read_loose
from multibox.data.layouts.roles import NAMES, part_folders
from multibox.data.layouts.table import read_table
from multibox.data.layouts.voc import read_devkit, read_voc
from multibox.data.layouts.yolo import read_yolo
from multibox.data.listing import IMAGE_FOLDERS, is_image, walk
from multibox.data.pictures import SUFFIXES
from multibox.data.splits import SPLITS, find_devkit
from multibox.errors import UserError

LABELS = 'labels.txt', 'labelmap.txt'  # of the user, and of CVAT
WANTED = (
    'Annotations/*.xml and JPEGImages/*.jpg (VOC), VOC2007/ or VOC2012/ (a VOCdevkit), images and '
    '.xml files (labelImg), a .json file with images, annotations and categories (COCO), labels/ '
    'or data.yaml (YOLO), or a .csv file with the columns filename, class, xmin, ymin, xmax, ymax; '
    'train/, valid/ and test/ may hold the same (docs/data.md)')

MAX_WRAPPINGS = 16  # folders in folders
LISTING = '.json', '.csv', '.yaml', '.yml'
ARCHIVES = '.zip', '.tar', '.gz', '.tgz', '.7z', '.rar'
# A folder with such a file is a data set itself, and not the wrapping of one.
DATA = *SUFFIXES, '.xml', '.json', '.csv', '.yaml', '.yml'


def read_layout(folder: Path, split: str, train: bool) -> Found:
    """Read the annotations of a folder, whatever its layout.

    Args:
        folder: the folder.
        split: one of :data:`multibox.data.SPLITS`; for a VOCdevkit only.
        train: False need not read the images to train on.

    Returns:
        :class:`multibox.data.layouts.found.Found`.

    Raises:
        UserError: the folder has none of the layouts, or a file of its layout is damaged.
    """
    try:
        if folder.exists() and not folder.is_dir():
            unpacked = ', once the archive is unpacked' * (folder.suffix.lower() in ARCHIVES)
            raise UserError(f'{folder}: is a file; give its folder, {folder.parent}{unpacked}')
        if not folder.is_dir():
            raise UserError(f'{folder}: no such folder; it should hold {WANTED}')
        found = _read_layout(_unwrap(folder), split, train)
        found.notes.extend(_not_read(folder) + _beside(folder, found))
        return found
    except OSError as error:
        raise UserError(f'{folder}: cannot be read ({error})') from None


def _unwrap(folder):
    """The data set in a folder that holds nothing else but remarks, as archives often have one."""
    for _ in range(MAX_WRAPPINGS):
        entries = [path for path in folder.iterdir() if not path.name.startswith(('.', '__MACOSX'))]
        inner = [path for path in entries if path.is_dir()]
        data = [path for path in entries if path not in inner and path.suffix.lower() in DATA]
        if (len(inner) != 1 or data or part_folders(folder) or find_devkit(folder)
                or not any(map(Path.is_dir, inner[0].iterdir()))):
            break
        folder = inner[0]
    return folder


def _not_read(folder):
    """Remarks on pipes and dangling links that have the name of a file with annotations."""
    parents = [folder, *(path for path in folder.iterdir() if path.is_dir())]
    return [f'{path}: is not a regular file; it was not read' for parent in parents
            for path in sorted(parent.iterdir()) if path.suffix.lower() in LISTING
            and not path.is_file() and not path.is_dir()]


def _beside(folder, found):
    """A remark if a folder is only one part of a data set, such as train/."""
    folder = folder.resolve()
    if found.divided or folder.name.lower() not in NAMES:
        return []
    others = [path.name for path in part_folders(folder.parent).values() if path != folder]
    return [f'{folder}: {" and ".join(others)} beside it are not used; give --data {folder.parent} '
            'to use all parts'] if others else []


def _read_layout(folder, split, train):
    found = read_devkit(folder, split, train)
    if found is None and split != SPLITS[1]:
        if coco_files(folder):
            raise UserError(f'{folder}: is COCO; leave out --difficult and --split, which are for '
                            'VOC')
        raise UserError(f'--split {split}: {folder} is not a VOCdevkit; leave --split out')
    found = found or read_voc(folder, split, train) or read_single(folder, train)
    if found is None:
        if folder.resolve().name.lower() in IMAGE_FOLDERS and all(map(is_image, walk(folder))):
            raise UserError(f'{folder}: holds images only; give the folder that holds the '
                            f'annotations as well, such as {folder.resolve().parent}')
        raise UserError(f'{folder}: no annotations found; the folder should hold {WANTED}. '
                        f'It holds {_contents(folder)}{_hint(folder)}'
                        + ''.join(f'. {note}' for note in _not_read(folder)[:3]))
    path = next((folder / name for name in LABELS if os.path.lexists(folder / name)), None)
    if path:
        names = read_label_names(path, notes := [])
        if found.label_names is None or set(names) < set(found.label_names):
            found.notes.extend(notes)
            return found._replace(label_names=names)
    return found


def read_single(folder: Path, train: bool) -> Found | None:
    """Read a folder that is no VOC folder; the names of its folders may say what a set is for."""
    return (read_coco(folder, train) or read_yolo(folder, train) or read_table(folder, train)
            or read_loose(folder, train))


def _hint(folder):
    """The step that is missing where text files have the names of images."""
    files = walk(folder)
    images = {path.stem for path in files if is_image(path)}
    n = sum(path.suffix == '.txt' and path.stem in images for path in files)
    return (f'. {n} .txt files have the names of images: for YOLO, add classes.txt with one class '
            'per line') if n else ''


def _contents(folder):
    """The entries of a folder in words, and the number of files of each kind under it."""
    names = sorted(path.name + '/' * path.is_dir() for path in folder.iterdir())
    if not names:
        return 'nothing'
    kinds = Counter(path.suffix.lower() or 'no suffix' for path in walk(folder))
    counted = ', '.join(f'{n} x {kind}' for kind, n in kinds.most_common(6))
    more = f' and {len(names) - 8} more' if len(names) > 8 else ''
    return f'{", ".join(names[:8])}{more}; with its folders: {counted or "no file"}'
