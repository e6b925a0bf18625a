"""Finding out which layout a folder has."""
from collections import Counter
from pathlib import Path

from multibox.data.layouts.coco import read_coco
from multibox.data.layouts.found import Found
from multibox.data.layouts.loose import read_loose
from multibox.data.layouts.roles import assign, part_folders
from multibox.data.layouts.table import read_table
from multibox.data.layouts.voc import read_devkit, read_voc
from multibox.data.layouts.yolo import read_yolo
from multibox.data.listing import read_label_names, walk
from multibox.data.splits import SPLITS, find_devkit
from multibox.errors import UserError

LABELS = 'labels.txt', 'labelmap.txt'  # of the user, and of CVAT
WANTED = (
    'Annotations/*.xml and JPEGImages/*.jpg (VOC), VOC2007/ or VOC2012/ (a VOCdevkit), images and '
    '.xml files (labelImg), a .json file with images, annotations and categories (COCO), labels/ '
    'or data.yaml (YOLO), or a .csv file with the columns filename, class, xmin, ymin, xmax, ymax; '
    'train/, valid/ and test/ may hold the same (docs/data.md)')


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
    if not folder.is_dir():
        raise UserError(f'{folder}: no such folder; it should hold {WANTED}')
    try:
        return _read_layout(_unwrap(folder), split, train)
    except OSError as error:
        raise UserError(f'{folder}: cannot be read ({error})') from None


def _unwrap(folder):
    """The data set in a folder that holds nothing else, as archives often have one."""
    inner = [path for path in folder.iterdir() if not path.name.startswith(('.', '__MACOSX'))]
    if len(inner) != 1 or not inner[0].is_dir() or part_folders(folder) or find_devkit(folder):
        return folder
    return _unwrap(inner[0]) if any(map(Path.is_dir, inner[0].iterdir())) else folder


def _read_layout(folder, split, train):
    found = read_devkit(folder, split, train)
    if found is None and split != SPLITS[1]:
        raise UserError(f'--split {split}: {folder} is not a VOCdevkit; leave --split out')
    found = found or read_voc(folder, split, train) or read_coco(folder, train)
    found = found or read_parts(folder, train) or read_single(folder, train)
    if found is None:
        raise UserError(f'{folder}: no annotations found; the folder should hold {WANTED}. '
                        f'It holds {_contents(folder)}')
    path = next((folder / name for name in LABELS if (folder / name).is_file()), None)
    if path and found.label_names is None:
        return found._replace(label_names=read_label_names(path, found.notes))
    return found


def read_single(folder: Path, train: bool) -> Found | None:
    """Read a folder whose images are in no folders for training and testing."""
    return (read_coco(folder, train) or read_yolo(folder) or read_table(folder, train)
            or read_loose(folder))


def read_parts(folder: Path, train: bool) -> Found | None:
    """Read a folder with the folders train/, valid/ and test/, or some of them, of any layout.

    Returns:
        :class:`Found`; None if there is no folder train/ to train on, or if data.yaml says where
            images are.
    """
    parts = part_folders(folder)
    if any(folder.glob('*.y*ml')) or (train and ('train' not in parts or len(parts) < 2)):
        return None
    founds = {role: found for role, part in parts.items()
              if (train or role != 'train') and (found := read_single(part, True))}
    if not founds:
        return None
    names = [name for found in founds.values() for name in found.label_names or ()]
    named = all(found.label_names for found in founds.values())
    notes = [note for found in founds.values() for note in found.notes]
    problems = [problem for found in founds.values() for problem in found.problems]
    return assign({role: found.train + found.test for role, found in founds.items()}, folder,
                  tuple(dict.fromkeys(names)) if named else None, notes, problems, train)


def _contents(folder):
    """The entries of a folder in words, and the number of files of each kind under it."""
    names = sorted(path.name + '/' * path.is_dir() for path in folder.iterdir())
    if not names:
        return 'nothing'
    kinds = Counter(path.suffix.lower() or 'no suffix' for path in walk(folder))
    counted = ', '.join(f'{n} x {kind}' for kind, n in kinds.most_common(6))
    more = f' and {len(names) - 8} more' if len(names) > 8 else ''
    return f'{", ".join(names[:8])}{more}; with its folders: {counted or "no file"}'
