"""The training and test splits of a VOCdevkit, or of a folder with the layout of VOC."""
from pathlib import Path

from multibox.errors import UserError

from chainercv.datasets import voc_bbox_label_names

LAYOUT = ('Annotations/*.xml, JPEGImages/*.jpg and ImageSets/Main/*.txt, or be a VOCdevkit with '
          'VOC2007/ or VOC2012/ (docs/data.md)')
SPLITS = ('07', '07+12', '07++12')


def split_file(folder: Path, split: str) -> Path:
    """The file that lists the images of a split."""
    return folder / 'ImageSets' / 'Main' / f'{split}.txt'


def _read_lines(path):
    try:
        text = path.read_text(encoding='utf-8-sig')
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f'{path}: cannot be read ({error}); it should list one name per line '
                        'in UTF-8') from error
    return [line.strip() for line in text.splitlines() if line.strip()]


def read_ids(folder: Path, split: str) -> list[str]:
    """Read the file names, without suffix, that a split lists.

    Raises:
        UserError: the list cannot be read.
    """
    # The split files of a class have a second column: 1, 0 or -1.
    return [line.split()[0] for line in _read_lines(split_file(folder, split))]


def _has_test_annotations(folder):
    return split_file(folder, 'test').is_file() and any(
        (folder / 'Annotations' / f'{i}.xml').is_file() for i in read_ids(folder, 'test'))


def _devkit_splits(devkit, split):
    """The splits of the paper in a VOCdevkit. "07" and "07+12" take the nearest splits on disk.

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


def _folder_splits(folder, train):
    """The splits of a folder with one ImageSets/Main, as two lists of (folder, split name)."""
    has = {split: split_file(folder, split).is_file()
           for split in ('trainval', 'train', 'val', 'test')}
    if not train and (has['test'] or has['val']):
        return [], [(folder, 'test' if has['test'] else 'val')]
    if has['test'] and (has['trainval'] or has['train']):
        return [(folder, 'trainval' if has['trainval'] else 'train')], [(folder, 'test')]
    if has['train'] and has['val']:
        return [(folder, 'train')], [(folder, 'val')]
    found = ', '.join(f'{split}.txt' for split in has if has[split]) or 'none of them'
    needed = ('trainval.txt (or train.txt) and test.txt, or train.txt and val.txt' if train
              else 'test.txt or val.txt')
    raise UserError(f'{folder / "ImageSets" / "Main"}: needs {needed}, but holds {found}; write '
                    'the missing list, one file name without suffix per line')


def find_devkit(folder: Path) -> Path | None:
    """The VOCdevkit that a folder is or holds, or None."""
    for devkit in (folder, folder / 'VOCdevkit'):
        if any((devkit / year / 'Annotations').is_dir() for year in ('VOC2007', 'VOC2012')):
            return devkit
    return None


def find_splits(folder: Path, split: str, train: bool) -> tuple:
    """Find the splits of any folder that :func:`multibox.data.load_voc` accepts.

    Args:
        folder: the folder.
        split: one of :data:`SPLITS`.
        train: False looks for the images to evaluate on only.

    Returns:
        ``(train, test, label_names, notes)``: two lists of (folder, split name), the class names
        if they are known, else None, and a list of remarks for the user.

    Raises:
        UserError: the folder has no layout of VOC, or the split does not fit it.
    """
    if not folder.is_dir():
        raise UserError(f'{folder}: no such folder; it should hold {LAYOUT}')
    devkit = find_devkit(folder)
    if devkit:
        if not train and split == '07+12' and (devkit / 'VOC2007' / 'Annotations').is_dir():
            split = '07'  # the same test images, whether or not VOC2012 is on the disk
        train_splits, test, notes = _devkit_splits(devkit, split)
        return train_splits if train else [], test, voc_bbox_label_names, notes
    if not (folder / 'Annotations').is_dir():
        raise UserError(f'{folder}: no Annotations/ here; the folder should hold {LAYOUT}')
    if split != SPLITS[1]:
        raise UserError(f'--split {split}: {folder} is not a VOCdevkit; leave --split out')
    train_splits, test = _folder_splits(folder, train)
    labels = folder / 'labels.txt'
    return train_splits, test, tuple(_read_lines(labels)) if labels.is_file() else None, []
