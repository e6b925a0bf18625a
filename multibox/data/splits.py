"""The training and test splits of a VOCdevkit, or of a folder with the layout of VOC."""
import os
from pathlib import Path

from multibox.data.listing import Files, inner, read_names
from multibox.data.pictures import SUFFIXES
from multibox.data.reading import MAX_LIST
from multibox.errors import UserError
from multibox.files import read_whole

SPLITS = ('07', '07+12', '07++12')
LISTS = 'trainval', 'train', 'val', 'test'
UNDIVIDED = 'default'  # the list of CVAT


def split_file(folder: Path, split: str) -> Path:
    """The file that lists the images of a split.

    VOC's lists lie in ImageSets/Main/. Some tools leave them in ImageSets/ or in the folder, and
    CVAT begins their names with a capital.
    """
    names = [split, split.capitalize(), *['Validation'] * (split == 'val')]
    paths = [folder / parent / f'{name}.txt'
             for parent in ('ImageSets/Main', 'ImageSets', '') for name in names]
    return next(filter(os.path.lexists, paths), paths[0])  # a pipe is refused when it is read


def read_ids(folder: Path, split: str, notes: list | None = None) -> list[str]:
    """Read the names of the images, without suffix, that a split lists; each name counts once.

    Args:
        folder: holds Annotations/, JPEGImages/ and ImageSets/Main/.
        split: name of the list, without suffix.
        notes: list of str, to which remarks are added.

    Raises:
        UserError: the list cannot be read.
    """
    known = {*Files(inner(folder, 'Annotations'), ['.xml']),
             *Files(inner(folder, 'JPEGImages'), SUFFIXES)}
    return read_names(split_file(folder, split), known, [] if notes is None else notes)


def _has_test_annotations(folder):
    return os.path.lexists(split_file(folder, 'test')) and any(
        (folder / 'Annotations' / f'{i}.xml').is_file() for i in read_ids(folder, 'test'))


def devkit_splits(devkit: Path, split: str) -> tuple[list, list, list]:
    """The splits of the paper in a VOCdevkit. "07" and "07+12" take the nearest splits on disk.

    Args:
        devkit: the VOCdevkit.
        split: one of :data:`SPLITS`.

    Returns:
        ``(train, test, notes)``: two lists of (folder, split name), and a list of str.
    """
    voc2007, voc2012 = devkit / 'VOC2007', devkit / 'VOC2012'
    if split == '07++12':
        return ([(voc2007, 'trainval'), (voc2007, 'test'), (voc2012, 'trainval')], [],
                ["--split 07++12: trains, but has no score: only PASCAL's server has the "
                 'annotations of VOC2012 test; evaluate.py --submission writes the files for it'])
    years = (voc2007, voc2012) if split == '07+12' else (voc2007,)
    notes = [f'{year}: not here; going on without it' for year in years
             if not (year / 'Annotations').is_dir()]
    train, test = [], []
    if (voc2007 / 'Annotations').is_dir():
        if _has_test_annotations(voc2007):
            train, test = [(voc2007, 'trainval')], [(voc2007, 'test')]
        else:
            notes.append(f'{voc2007}: no annotated test split; VOC2007 val is kept out of '
                         'training and used for the evaluation')
            train, test = [(voc2007, 'train')], [(voc2007, 'val')]
    if voc2012 in years and (voc2012 / 'Annotations').is_dir():
        train.append((voc2012, 'trainval' if test else 'train'))
        test = test or [(voc2012, 'val')]
    return train, test, notes


def _has_lines(path):
    return os.path.lexists(path) and bool(
        read_whole(path, MAX_LIST).strip(b'\xef\xbb\xbf \r\n\t'))


def folder_splits(folder: Path, train: bool) -> tuple[list, list, list]:
    """The splits of a folder with the layout of VOC.

    Args:
        folder: holds Annotations/, and perhaps ImageSets/Main/.
        train: False looks for the images to evaluate on only.

    Returns:
        ``(train, test, notes)``: the names of the lists to train and to evaluate on, and remarks.
        Without a list to evaluate on, ``test`` is empty. Without any list, ``train`` is, too.

    Raises:
        UserError: only some of the lists are there.
    """
    has = {split: _has_lines(split_file(folder, split)) for split in LISTS}
    notes = []
    if has['train'] and has['val'] and has['test'] and not has['trainval']:
        notes.append(f'{folder / "ImageSets" / "Main"}: train.txt is trained on and test.txt is '
                     'evaluated on; val.txt is not used')
    if not train and (has['test'] or has['val']):
        return [], ['test' if has['test'] else 'val'], []
    if has['test'] and (has['trainval'] or has['train']):
        return ['trainval' if has['trainval'] else 'train'], ['test'], notes
    if has['train'] and has['val']:
        return ['train'], ['val'], notes
    if sum(has.values()) == 1 and (has['trainval'] or has['train']):
        return [split for split in has if has[split]], [], notes
    if not any(has.values()):
        return [UNDIVIDED] if os.path.lexists(
            split_file(folder, UNDIVIDED)) else [], [], notes
    found = ', '.join(f'{split}.txt' for split in has if has[split])
    needed = ('trainval.txt (or train.txt) and test.txt, or train.txt and val.txt' if train
              else 'test.txt or val.txt')
    raise UserError(f'{folder / "ImageSets" / "Main"}: needs {needed}, but holds {found}; write '
                    'the missing list, one file name without suffix per line, or delete all lists: '
                    'the images are then divided 80 to 20')


def find_devkit(folder: Path) -> Path | None:
    """The VOCdevkit that a folder is or holds, or None."""
    for devkit in (folder, folder / 'VOCdevkit'):
        if any((devkit / year / 'Annotations').is_dir() for year in ('VOC2007', 'VOC2012')):
            return devkit
    return None
