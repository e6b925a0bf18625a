"""Loading a data set from its folder, whatever its layout."""
from collections import Counter
from pathlib import Path
from typing import Any

from multibox.data.classes import check_names, short_list
from multibox.data.frames import place
from multibox.data.inspection import inspect_all
from multibox.data.layouts.find import read_layout
from multibox.data.pictures import MAX_PIXELS, Picture
from multibox.data.split import divide, load, note
from multibox.data.splits import SPLITS
from multibox.data.synthetic import drawn_set
from multibox.data.voc import VOCData, VOCDataset, without_difficult
from multibox.errors import UserError
from multibox.parser import suggestion

MAX_SHOWN = 10  # problems that an error about the whole data set lists
MAX_LISTED = 30  # problems that the description lists
MAX_STRICT = 1000  # problems that --strict lists, and remarks on boxes that are kept
MAX_CLASSES = 20  # of a data set whose classes without objects are named


def load_data(folder: str | Path | None, difficult: bool = False, strict: bool = False,
              split: str = SPLITS[1], train: bool = True, run: Path | None = None,
              max_pixels: int = MAX_PIXELS) -> VOCData:
    """Read a folder of images and annotations, and check all of it.

    The layouts are VOC's, COCO's and YOLO's, labelImg's files beside their images, and a table; see
    docs/data.md. A VOCdevkit gives one of the paper's splits (Liu et al., ECCV 2016, sec. 3.1 and
    3.3). "07" trains on VOC2007 trainval and evaluates on VOC2007 test. "07+12" also trains on
    VOC2012 trainval. "07++12" also trains on VOC2007 test, and its test set is empty. Data without
    a split are divided 80 to 20.

    The class names are those of a list in the folder, or else those found in the annotations,
    sorted. An object of a class that the list does not name becomes an ignored region. Boxes are
    cut at the edges of their image. An image with an object that has no usable box is left out.

    Args:
        folder: the folder; None for the built-in set.
        difficult: whether to train on objects marked difficult as well. The paper's Caffe code
            does so; ChainerCV and ssd.pytorch do not.
        strict: refuse a data set with problems instead of leaving the bad parts out.
        split: one of :data:`multibox.data.SPLITS`; for a VOCdevkit only.
        train: False reads only the images to evaluate on; the folder need not hold others.
        run: the folder of a run. If the data have no split, that of the run is taken; images that
            are new since then are not used.
        max_pixels: the largest number of pixels of an image; larger ones are left out.

    Returns:
        :class:`multibox.data.voc.VOCData`.

    Raises:
        UserError: the folder has none of these layouts, the settings do not fit it, nothing usable
            is left to train or evaluate on, or a problem was found under ``strict``.
    """
    data = look(folder, strict, split, train, run, max_pixels)
    if difficult and data.crowds:
        raise UserError(f'{folder}: is COCO; leave out --difficult and --split, which are for VOC')
    if not difficult:
        count_difficult(data, folder)
        data = data._replace(train=VOCDataset(list(map(without_difficult, data.train.examples))))
    if train and not has_objects(data.train):
        raise UserError(nothing_usable(data, folder, 'train on', data.train))
    if (split != SPLITS[2] or not train) and not has_objects(data.test):  # 07++12 has no test set
        raise UserError(nothing_usable(data, folder, 'evaluate on', data.test))
    return data


def look(folder: str | Path | None, strict: bool = False, split: str = SPLITS[1],
         train: bool = True, run: Path | None = None,
         max_pixels: int = MAX_PIXELS) -> VOCData:
    """Read a folder as :func:`load_data` does, but keep difficult objects in the training set.

    The sets may be empty. Arguments and errors are those of :func:`load_data`.
    """
    notes: list[str] = []
    if folder is None:
        folder = drawn_set()
        notes.append(f'no --data: using the built-in set in {folder}')
    folder = Path(folder)
    found = read_layout(folder, split, train)
    notes += found.notes
    sets, drawn = _divide(found, folder, train, run, notes)
    label_names = found.label_names
    if label_names is None:
        label_names = _names_of(sets)
        notes.append(f'{folder}: no labels.txt; found {len(label_names)} '
                     f'class{"es" * (len(label_names) != 1)}: ' + ', '.join(label_names))
    check_names(label_names, folder)
    _note_case(label_names, folder, notes)
    problems = list(found.problems)
    (examples, test), unnamed = _place(sets, label_names, folder, problems, notes, max_pixels)
    for name, n in sorted(unnamed.items())[:MAX_CLASSES]:
        notes.append(f'{folder}: {n} objects of class {name!r} are ignored, because it is not one '
                     f'of the {len(label_names)} label names{suggestion(name, label_names)}')
    if len(unnamed) > MAX_CLASSES:
        notes.append(f'{folder}: so are the objects of {len(unnamed) - MAX_CLASSES:,} more classes')
    if unnamed:  # a class may be misspelt
        _note_empty(label_names, examples + test, folder, notes)
    if strict:
        refuse(problems, folder)
    return VOCData(VOCDataset(examples), VOCDataset(test), label_names, problems, notes, drawn,
                   found.crowds)


def count_difficult(data: VOCData, folder: str | Path | None) -> None:
    """Add a remark on the difficult objects of the training set, which are not trained on.

    Raises:
        UserError: there are no other objects.
    """
    difficult = [mark for example in data.train.examples for mark in example.difficult.tolist()]
    n = sum(difficult)
    if n and n == len(difficult):
        raise UserError(f'{folder}: no usable object to train on: all {n} are marked difficult; '
                        'give --difficult to train on them')
    if n:
        data.notes.append(f'{n} objects marked difficult are not trained on; --difficult trains on '
                          'them')


def refuse(problems: list, folder: Path) -> None:
    """Raise a UserError that lists the problems of a data set, if it has any."""
    if problems:
        raise UserError(f'{folder}: {len(problems)} problems in the annotations:\n'
                        + '\n'.join(map(str, problems[:MAX_STRICT]))
                        + f'\nand {len(problems) - MAX_STRICT:,} more'
                        * (len(problems) > MAX_STRICT))


def has_objects(dataset: VOCDataset) -> bool:
    """Whether an image of the data set has an object."""
    return any(len(example.bbox) for example in dataset.examples)


def nothing_usable(data: VOCData, folder: str | Path | None, use: str, dataset: VOCDataset) -> str:
    """The message about a set without objects: its first line, and the first problems."""
    shown = ''.join(f'\n{problem}' for problem in data.problems[:MAX_SHOWN])
    listed = f'; the first of {len(data.problems)} problems:{shown}' if data.problems else ''
    n_ignored = sum(len(example.ignored) for example in dataset.examples)
    ignored = f'; {n_ignored} objects have other classes than {short_list(data.label_names)}'
    return (f'{folder}: no usable object to {use}, in {len(dataset)} usable images'
            + ignored * bool(n_ignored) + listed)


def _divide(found, folder, train, run, notes):
    """The annotations to train and to evaluate on, and the drawn split or None."""
    if found.divided or not found.train:
        shared = len({id_of(a) for a in found.train} & {id_of(a) for a in found.test})
        if shared:
            notes.append(f'{folder}: {shared} images are both in the training list and in the '
                         'test list; a score on training images says little')
        return [found.train if train else [], found.test], None

    def name_of(annotation):
        path = annotation.image or annotation.file
        return path.relative_to(folder).as_posix() if path.is_relative_to(folder) else str(path)

    drawn = load(run, folder)
    faulty = [annotation for annotation in found.train if annotation.fault]
    if drawn:
        known = {part: set(drawn[part]) for part in ('train', 'test')}
        train_set, test_set = ([annotation for annotation in found.train
                                if name_of(annotation) in known[part]]
                               for part in ('train', 'test'))
        faulty = [annotation for annotation in faulty
                  if name_of(annotation) not in known['train'] | known['test']]
        left = len(found.train) - len(train_set) - len(test_set) - len(faulty)
        notes.append(f'{folder}: the split is that of the run'
                     + f'; {left} images that are new since then are not used' * bool(left))
    else:
        usable = [annotation for annotation in found.train if not annotation.fault]
        train_set, test_set = divide(usable, name_of)
        notes.append(note(folder, len(train_set), len(test_set)))
    copies = {Path(name_of(a)).name for a in train_set} & {Path(name_of(a)).name for a in test_set}
    if copies:
        notes.append(f'{folder}: {len(copies)} file names occur in the training set and in the '
                     f'test set, such as {min(copies)}; if these are copies, remove one folder')
    names = {part: list(map(name_of, annotations))
             for part, annotations in (('train', train_set), ('test', test_set))}
    return [train_set + faulty if train else [], test_set], names


def id_of(annotation: Any) -> Path:
    """The file that tells whether two annotations are of one image."""
    return annotation.image or annotation.file


def _names_of(sets):
    names = {entry.name for annotations in sets for annotation in annotations
             for entry in annotation.entries}
    return tuple(sorted(names - {None, ''}))


def _note_case(names, folder, notes):
    folded: dict[str, list] = {}
    for name in names:
        folded.setdefault(name.casefold(), []).append(name)
    several = [' and '.join(alike) for alike in folded.values() if len(alike) > 1]
    notes.extend(f'{folder}: the classes {alike} differ in upper and lower case only; are they '
                 'one class?' for alike in several[:MAX_CLASSES])


def _note_empty(names, examples, folder, notes):
    used = {names[n] for example in examples for n in example.label}
    empty = [name for name in names if name not in used]
    if empty and used and len(names) < MAX_CLASSES:
        notes.append(f'{folder}: no object of class {", ".join(empty)}')


def _place(sets, label_names, folder, problems, notes, max_pixels):
    """Both sets as examples, and how often each class is not among the label names."""
    pictures = inspect_all([annotation.image for annotations in sets for annotation in annotations
                            if annotation.image and not annotation.fault], str(folder.resolve()),
                           max_pixels)
    n_turned = sum(isinstance(picture, Picture) and picture.orientation > 1
                   for picture in pictures.values())
    if n_turned:
        notes.append(f'{folder}: {n_turned} photographs are turned upright, as EXIF says')
    unnamed = Counter()
    result = []
    remarks = []
    numbers = {name: number for number, name in enumerate(label_names)}
    for annotations in sets:
        result.append(examples := [])
        for annotation in annotations:
            placed = place(annotation, pictures.get(annotation.image, ''), numbers)
            problems += placed.problems
            remarks += placed.notes
            unnamed.update(placed.unnamed)
            if placed.example:
                examples.append(placed.example)
    notes += remarks[:MAX_STRICT]
    if len(remarks) > MAX_STRICT:
        notes.append(f'{folder}: {len(remarks) - MAX_STRICT:,} more boxes or sizes were adapted')
    return result, unnamed


def describe(data: VOCData) -> str:
    """Describe a data set to the user before training.

    Args:
        data: the data set.

    Returns:
        Lines of text: remarks, problems in the annotations, numbers of images, and classes.
    """
    lines = [*data.notes]
    if data.problems:
        lines.append(f'left out, {len(data.problems)} bad annotations (--strict refuses '
                     'them instead):')
        lines += [f'  {problem}' for problem in data.problems[:MAX_LISTED]]
        if len(data.problems) > MAX_LISTED:
            lines.append(f'  and {len(data.problems) - MAX_LISTED} more; python -m multibox.data '
                         'check DIR --json FILE lists all')
    lines.append(f'{len(data.train)} images to train, {len(data.test)} to evaluate, classes: '
                 f'{", ".join(data.label_names)}')
    return '\n'.join(lines)
