"""Loading a data set from its folder, whatever its layout."""
from pathlib import Path

from multibox.data.coco import is_coco, load_coco
from multibox.data.splits import SPLITS
from multibox.data.synthetic import drawn_set
from multibox.data.voc import VOCData, load_voc
from multibox.errors import UserError


def load_data(folder: str | Path | None, difficult: bool = False, strict: bool = False,
              split: str = SPLITS[1], train: bool = True) -> VOCData:
    """Read COCO 2017, a VOCdevkit or a folder in VOC's layout.

    Args:
        folder: see :func:`multibox.data.coco.load_coco` and :func:`multibox.data.load_voc`; None
            for the built-in set.
        difficult: whether to train on objects marked difficult as well; for VOC only.
        strict: refuse a data set with problems instead of leaving the bad parts out.
        split: one of :data:`multibox.data.SPLITS`; for a VOCdevkit only.
        train: False reads only the images to evaluate on; the folder need not hold others.

    Returns:
        :class:`multibox.data.voc.VOCData`.

    Raises:
        UserError: the folder has none of these layouts, the settings do not fit it, or a problem
            was found under ``strict``.
    """
    if folder is None:
        data = load_voc(drawn_set(), difficult, strict, split, train)
        data.notes.insert(0, f'no --data: using the built-in set in {drawn_set()}')
        return data
    if not is_coco(folder):
        return load_voc(folder, difficult, strict, split, train)
    if difficult or split != SPLITS[1]:
        raise UserError(f'{folder}: is COCO; leave out --difficult and --split, which are for VOC')
    return load_coco(folder, strict, train)


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
        lines += [f'  {problem}' for problem in data.problems]
    lines.append(f'{len(data.train)} images to train, {len(data.test)} to evaluate, classes: '
                 f'{", ".join(data.label_names)}')
    return '\n'.join(lines)
