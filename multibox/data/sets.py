"""Any data set by its folder."""
from multibox.data.coco import is_coco, load_coco
from multibox.data.drawn import drawn_set
from multibox.data.voc import SPLITS, load_voc
from multibox.errors import UserError


def load_data(folder, difficult=False, strict=False, split=SPLITS[1], train=True):
    """Read COCO 2017, a VOCdevkit or a folder in VOC's layout.

    Args:
        folder: see :func:`multibox.data.coco.load_coco` and :func:`multibox.data.load_voc`; None
            for the built-in drawn set.
        difficult: VOC: train on objects marked difficult too.
        strict: refuse a data set with problems instead of leaving the bad parts out.
        split: VOCdevkit: one of :data:`multibox.data.voc.SPLITS`.
        train: False reads the images to evaluate on alone; the folder need not hold others.

    Returns:
        :class:`multibox.data.voc.VOCData`.

    Raises:
        UserError: the folder is none of them, or the settings do not fit it.
    """
    if folder is None:
        data = load_voc(drawn_set(), difficult, strict, split, train)
        data.notes.insert(0, f'no --data: using the built-in drawn set in {drawn_set()}')
        return data
    if not is_coco(folder):
        return load_voc(folder, difficult, strict, split, train)
    if difficult or split != SPLITS[1]:
        raise UserError(f'{folder}: is COCO; leave out --difficult and --split, which are of VOC')
    return load_coco(folder, strict, train)


def describe(data):
    """What the user should know of a data set before it is trained on, as lines of text.

    Args:
        data: :class:`multibox.data.voc.VOCData`.
    """
    lines = [*data.notes]
    if data.problems:
        lines.append(f'left out, {len(data.problems)} bad annotations (--strict ends here '
                     'instead):')
        lines += [f'  {problem}' for problem in data.problems]
    lines.append(f'{len(data.train)} images to train, {len(data.test)} to evaluate, classes: '
                 f'{", ".join(data.label_names)}')
    return '\n'.join(lines)
