"""COCO 2017, read from its JSON files."""
import json
from pathlib import Path

from multibox.boxes.geometry import is_proper
from multibox.data.annotations import Example, Problem
from multibox.data.voc import VOCData, VOCDataset, without_difficult
from multibox.errors import UserError

import numpy as np


def is_coco(folder: str | Path) -> bool:
    """Whether a folder has the layout of the unpacked archives of COCO 2017."""
    return any(_instances(Path(folder), split).is_file() for split in ('train', 'val'))


def load_coco(folder: str | Path, strict: bool = False, train: bool = True) -> VOCData:
    """Read COCO 2017: train2017 to train on, val2017 to evaluate on, 80 classes.

    train2017 has the images of the paper's trainval35k, and val2017 those of minival. Regions
    marked ``iscrowd`` are left out of training. The test set keeps them as difficult objects.

    Args:
        folder: holds annotations/instances_train2017.json and instances_val2017.json, train2017/
            and val2017/.
        strict: refuse a data set with problems instead of leaving the bad parts out.
        train: False reads only val2017; the folder need not hold train2017.

    Returns:
        :class:`multibox.data.voc.VOCData`; classes are numbered by rising category id.

    Raises:
        UserError: a file is missing or has another format, no image is left, or a problem was found
            under ``strict``.
    """
    folder = Path(folder)
    examples, train_names, problems = _read(folder, 'train') if train else ([], None, [])
    test, names, test_problems = _read(folder, 'val')
    problems += test_problems
    if train and train_names != names:
        raise UserError(f'{folder}: the categories of train2017 and val2017 differ; get both from '
                        'one annotations_trainval2017.zip')
    if strict and problems:
        raise UserError(f'{folder}: {len(problems)} problems in the annotations:\n'
                        + '\n'.join(map(str, problems)))
    examples = [without_difficult(example) for example in examples]
    return VOCData(VOCDataset(examples), VOCDataset(test), names, problems, [])


def _instances(folder, split):
    return folder / 'annotations' / f'instances_{split}2017.json'


def _read(folder, split):
    """The examples of a split in the order of their ids, the class names, and the problems."""
    path = _instances(folder, split)
    try:
        content = json.loads(path.read_text(encoding='utf-8'))
        names = {category['id']: category['name'] for category in content['categories']}
        numbers = {category: number for number, category in enumerate(sorted(names))}
        images = {image['id']: (image['file_name'], (image['height'], image['width']))
                  for image in content['images']}
        objects = {image_id: [] for image_id in images}
        for entry in content['annotations']:
            x, y, width, height = map(float, entry['bbox'])
            objects[entry['image_id']].append((
                entry['id'], (y, x, y + height, x + width), numbers[entry['category_id']],
                entry['iscrowd']))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f'{path}: not a readable file of COCO instances ({error!r})') from None
    pictures = folder / f'{split}2017'
    present = {picture.name for picture in pictures.iterdir()} if pictures.is_dir() else set()
    examples, problems = [], []
    for image_id in sorted(images):
        name, size = images[image_id]
        image = pictures / name
        if name not in present:
            problems.append(Problem(image, None, None, 'image file is missing'))
            continue
        good = []
        for object_id, bbox, label, crowd in objects[image_id]:
            if is_proper(np.array([bbox], np.float32))[0]:
                good.append((bbox, label, crowd))
            else:
                problems.append(Problem(path, object_id, None, 'box has no area'))
        bbox, label, crowd = zip(*good) if good else ((), (), ())
        examples.append(Example(image, np.array(bbox, np.float32).reshape(-1, 4),
                                np.array(label, np.int32), np.array(crowd, bool), size))
    if not examples:
        raise UserError(f'{pictures}: none of the {len(images)} images is here; unpack '
                        f'{split}2017.zip into {folder}')
    return examples, tuple(names[category] for category in sorted(names)), problems
