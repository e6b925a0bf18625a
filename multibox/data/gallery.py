"""Pictures of a data set: a sample with its boxes, classes and sizes, positions of the objects."""
import math
from pathlib import Path

from multibox.canvas import grid, plot
from multibox.data.pictures import read
from multibox.data.voc import VOCData
from multibox.drawing import COLORS, draw_boxes, short_name
from multibox.faults import Faults
from multibox.files import make_out, open_whole

import numpy as np

N_SAMPLE, N_COLUMN = 24, 4
HEIGHT, WIDTH, GAP = 300, 450, 8  # pixels of a sample
N_CELL = 64  # of the map of positions, per side
MAX_CLASSES = 40  # bars in one chart


@np.errstate(all='ignore')  # for boxes without an area, or beyond all numbers
def save_pictures(data: VOCData, folder: Path, max_pixels: float = math.inf) -> list[Path]:
    """Draw what a person looks at before training.

    ``sample.png`` shows images of both sets with their objects; ignored regions are called
    'ignored'. ``statistics.png`` shows objects per class, sizes and shapes of the boxes.
    ``positions.png`` shows per place of an image how many objects cover it.

    Args:
        data: the data set.
        folder: the folder for the pictures, which is made if it does not exist.
        max_pixels: of all images of the sample together; of larger images it shows fewer, but at
            least :data:`N_COLUMN`.

    Returns:
        The three files.

    Raises:
        UserError: a file cannot be written, or an image cannot be read. The other files are
            written nevertheless.
    """
    make_out(folder, '--pictures')
    sets = {name: split.examples for name, split in (('train', data.train), ('test', data.test))
            if len(split)}
    paths = [folder / f'{name}.png' for name in ('sample', 'statistics', 'positions')]
    with Faults() as faults:
        with faults.of(paths[0]):
            picture = _sample(sets, data.label_names, max_pixels)
            with open_whole(paths[0]) as file:
                picture.save(file, 'PNG', compress_level=1)  # a higher level takes a second
        for path, draw in zip(paths[1:], (_draw_statistics, _draw_positions)):
            with faults.of(path), plot(path, (14, 4.5), dpi=80) as figure:
                draw(figure, sets, data.label_names)
    return paths


def _sample(sets, label_names, max_pixels):
    """One picture of images at equal distances in both sets."""
    examples = [example for split in sets.values() for example in split]
    pixels = np.mean([np.prod(example.size) for example in examples])
    n = int(min(N_SAMPLE, len(examples), max(N_COLUMN, max_pixels / pixels)))
    index = np.unique(np.linspace(0, len(examples) - 1, n).round())
    tiles = [_tile(examples[int(i)], label_names) for i in index]
    return grid(tiles, N_COLUMN, (WIDTH + GAP, HEIGHT + GAP))


def _tile(example, label_names):
    img = read(example.path, np.uint8, example.size)
    bbox = np.concatenate([example.bbox, example.ignored])
    names = [label_names[n] + ' (difficult)' * bool(hard)
             for n, hard in zip(example.label, example.difficult)]
    names += ['ignored'] * len(example.ignored)
    label = np.concatenate([example.label, np.full(len(example.ignored), len(label_names))])
    height = max(1, round(min(HEIGHT, WIDTH * img.shape[1] / img.shape[2])))
    return draw_boxes(img, bbox, label.astype(int), names, height)


def _boxes(examples):
    """(N, 4) boxes as shares of the height and the width of their images."""
    shares = [example.bbox / np.tile(example.size, 2) for example in examples]
    return np.concatenate(shares) if shares else np.zeros((0, 4))


def _draw_statistics(figure, sets, label_names):
    classes, sizes, shapes = figure.subplots(1, 3)
    counts = {name: np.bincount(np.concatenate([each.label for each in split]).astype(int),
                                minlength=len(label_names)) for name, split in sets.items()}
    order = np.argsort(-sum(counts.values()), kind='stable')[:MAX_CLASSES]
    left = np.zeros(len(order))
    for (name, count), color in zip(counts.items(), COLORS):
        classes.barh(np.arange(len(order)), count[order], left=left, color=color, label=name)
        left += count[order]
    classes.set_yticks(np.arange(len(order)), [short_name(label_names[n])[:30] for n in order])
    classes.invert_yaxis()
    classes.set_xlabel('objects')
    classes.legend()
    for (name, split), color in zip(sets.items(), COLORS):
        boxes = _boxes(split)
        height, width = (boxes[:, 2:] - boxes[:, :2]).T
        side = np.sqrt(height * width)
        sizes.hist(side[np.isfinite(side)], np.linspace(0, 1, 41), color=color, alpha=0.6,
                   label=name)
        pixels = np.concatenate([each.bbox[:, 2:] - each.bbox[:, :2] for each in split])
        ratio = np.log2(pixels[:, 1] / pixels[:, 0])
        shapes.hist(ratio[np.isfinite(ratio)].clip(-4, 4), np.linspace(-4, 4, 41), color=color,
                    alpha=0.6, label=name)
    sizes.set_xlabel('side of the box, as a share of the side of the image')
    shapes.set_xlabel('width over height')
    shapes.set_xticks(range(-4, 5, 2), ['1:16', '1:4', '1', '4:1', '16:1'])
    for axes in sizes, shapes:
        axes.set_ylabel('objects')


def _draw_positions(figure, sets, label_names):
    for axes, (name, split) in zip(np.ravel(figure.subplots(1, len(sets))), sets.items()):
        image = axes.imshow(_cover(_boxes(split)), extent=(0, 1, 1, 0), cmap='viridis')
        axes.set_title(f'{name}: objects per place')
        axes.set_xlabel('share of the width')
        axes.set_ylabel('share of the height')
        figure.colorbar(image, ax=axes)


def _cover(boxes):
    """(N_CELL, N_CELL) int array: the number of boxes that cover the centre of each cell."""
    centre = (np.arange(N_CELL) + 0.5) / N_CELL
    y_min, x_min, y_max, x_max = np.searchsorted(centre, boxes).T
    change = np.zeros((N_CELL + 1, N_CELL + 1), int)  # at the corners of the boxes
    for corner, sign in (((y_min, x_min), 1), ((y_max, x_max), 1),
                         ((y_min, x_max), -1), ((y_max, x_min), -1)):
        np.add.at(change, corner, sign)
    return change.cumsum(axis=0).cumsum(axis=1)[:-1, :-1]
