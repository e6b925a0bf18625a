"""The built-in data set: 500 drawn pictures in VOC layout, for trials without a download."""
import os
import tempfile
from pathlib import Path

from multibox.data.drawings import CLASSES, ellipse, random_colour, rotation
from multibox.errors import UserError

import cv2
import numpy as np
from chainercv.utils import mask_to_bbox

VERSION = 1  # part of the name of the cache folder; raise it with every change to the pictures
SIDE = (200, 260)  # pixels; small pictures are read and augmented fast
SCALE = (0.15, 0.7)  # longer side of an object over the shorter side of the picture
MAX_OBJECTS = 5
MAX_HIDDEN = 0.5  # share of an object's pixels that later objects may hide
MAX_ATTEMPTS = 20  # to find a position at which no object is hidden too much
SUBPIXEL_BITS = 4  # of OpenCV's fixed-point coordinates


def to_pixels(drawing, centre, size, turn=0., aspect=1., mirror=False):
    """Convert a drawing to coordinates in pixels.

    Args:
        drawing: list of (polygon, colour); polygons are (N, 2) points (x, y) within [-1, 1].
        centre: (x, y) in pixels.
        size: length of the span [-1, 1] in pixels, before ``aspect``.
        turn: clockwise rotation in radians.
        aspect: factor on width over height.
        mirror: whether left and right are exchanged.

    Returns:
        The same list with polygons as (N, 2) float64 pixels.
    """
    stretch = size / 2 * np.array([aspect ** 0.5 * (-1 if mirror else 1), aspect ** -0.5])
    return [(np.asarray(polygon) * stretch @ rotation(turn) + centre, colour)
            for polygon, colour in drawing]


def paint(canvas, drawing):
    """Paint a drawing in pixels over ``canvas``, (H, W, 3) uint8 RGB, with dark outlines."""
    for polygon, colour in drawing:
        points = [np.round(np.asarray(polygon) * 2 ** SUBPIXEL_BITS).astype(np.int32)]
        dark = [0.5 * c for c in colour]
        cv2.fillPoly(canvas, points, colour, cv2.LINE_AA, SUBPIXEL_BITS)
        cv2.polylines(canvas, points, True, dark, 1, cv2.LINE_AA, SUBPIXEL_BITS)


def mask_of(drawing, height, width):
    """(height, width) bool array of the pixels of which a drawing covers half or more."""
    cover = np.zeros((height, width, 3), np.uint8)
    paint(cover, [(polygon, (510, 510, 510)) for polygon, _ in drawing])  # the outline is 255
    return cover[:, :, 0] >= 128


def hidden_shares(masks):
    """The shares of pixels that later objects hide: R floats for R bool masks (H, W)."""
    return [(mask & np.any(masks[i + 1:], axis=0)).sum() / mask.sum()
            for i, mask in enumerate(masks)]


def _background(rng, height, width):
    """A colour gradient with soft blotches, and lines, patches and rings of no class."""
    ramp = np.linspace(0, 1, height)[:, None, None]
    top, bottom = (np.array(random_colour(rng, (0, 1), (0, 0.6), (0.3, 1))) for _ in range(2))
    blotches = rng.normal(0, 20, (6, 6, 1)) + rng.normal(0, 9, (6, 6, 3))
    blotches = cv2.resize(blotches, (width, height), interpolation=cv2.INTER_CUBIC)
    canvas = np.clip(top * (1 - ramp) + bottom * ramp + blotches, 0, 255).astype(np.uint8)
    for _ in range(rng.integers(4, 14)):
        x, y = rng.uniform(0, (width, height))
        radius_x, radius_y = rng.uniform(4, 40, 2)
        colour = random_colour(rng, (0, 1), (0, 0.9), (0.2, 1))
        kind = rng.integers(3)
        if kind == 0:
            corners = (x, y) + rng.uniform(-1, 1, (rng.integers(3, 5), 2)) * (radius_x, radius_y)
            paint(canvas, [(corners, colour)])
            continue
        if kind == 1:
            curve = np.array([(x, y), rng.uniform(0, (width, height))])
        else:
            curve = np.round(ellipse(x, y, radius_x, radius_y, rng.uniform(0, np.pi)))
        cv2.polylines(canvas, [curve.astype(np.int32)], kind == 2, colour,
                      int(rng.integers(1, 5)), cv2.LINE_AA)
    return canvas


def draw_picture(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Draw one picture.

    Args:
        rng: its state alone determines the picture.

    Returns:
        ``(img, bbox, names)``: (H, W, 3) uint8 RGB; (R, 4) float32 boxes, R from 1 to 5; R class
        names. A box surrounds the part of an object inside the picture, hidden pixels included.
    """
    height, width = rng.integers(SIDE[0], SIDE[1] + 1, 2)
    img = _background(rng, height, width)
    names: list[str] = []
    masks: list[np.ndarray] = []
    for _ in range(rng.integers(1, MAX_OBJECTS + 1)):
        name = str(rng.choice(list(CLASSES)))
        drawing = CLASSES[name](rng)
        size = np.exp(rng.uniform(*np.log(SCALE))) * min(height, width)
        form = {'size': size, 'turn': rng.normal(0, 0.12),
                'aspect': np.exp(rng.uniform(-0.3, 0.3)), 'mirror': rng.random() < 0.5}
        for _ in range(MAX_ATTEMPTS):
            centre = rng.uniform(0.4 * size, np.array([width, height]) - 0.4 * size)
            placed = to_pixels(drawing, centre, **form)
            mask = mask_of(placed, height, width)
            if max(hidden_shares([*masks, mask])) <= MAX_HIDDEN:
                paint(img, placed)
                names.append(name)
                masks.append(mask)
                break
    grainy = np.clip(img + rng.normal(0, 4, img.shape), 0, 255).astype(np.uint8)
    return grainy, mask_to_bbox(np.array(masks)), names


def _annotation(filename, shape, bbox, names):
    """The annotation of a picture as VOC's XML; coordinates are inclusive and count from 1."""
    size = '<height>{}</height><width>{}</width><depth>{}</depth>'.format(*shape)
    objects = ''.join(
        f'  <object><name>{name}</name><difficult>0</difficult><bndbox><xmin>{x_min + 1}</xmin>'
        f'<ymin>{y_min + 1}</ymin><xmax>{x_max}</xmax><ymax>{y_max}</ymax></bndbox></object>\n'
        for name, (y_min, x_min, y_max, x_max) in zip(names, bbox.astype(int)))
    return (f'<annotation>\n  <filename>{filename}</filename>\n  <size>{size}</size>\n'
            f'{objects}</annotation>\n')


def draw_set(folder: str | Path, n_train: int = 400, n_test: int = 100) -> None:
    """Draw a data set in VOC layout; the same numbers always give the same pictures.

    Args:
        folder: the folder to make, with Annotations/, ImageSets/Main/, JPEGImages/ and labels.txt.
        n_train: number of pictures in trainval.txt.
        n_test: number of pictures in test.txt, which do not depend on ``n_train``.

    Raises:
        FileExistsError: the folder holds a data set already.
    """
    folder = Path(folder)
    for name in ('Annotations', 'ImageSets/Main', 'JPEGImages'):
        (folder / name).mkdir(parents=True)
    (folder / 'labels.txt').write_text(''.join(f'{name}\n' for name in CLASSES))
    for seed, (split, n_pictures) in enumerate([('trainval', n_train), ('test', n_test)]):
        ids = [f'{split}_{i:03d}' for i in range(n_pictures)]
        for i, example_id in enumerate(ids):
            img, bbox, names = draw_picture(np.random.default_rng([seed, i]))
            jpeg = cv2.imencode('.jpg', img[:, :, ::-1])[1]  # imwrite would hide a full disk
            (folder / f'JPEGImages/{example_id}.jpg').write_bytes(jpeg.tobytes())
            xml = _annotation(f'{example_id}.jpg', img.shape, bbox, names)
            (folder / f'Annotations/{example_id}.xml').write_text(xml)
        (folder / 'ImageSets/Main' / f'{split}.txt').write_text(''.join(f'{i}\n' for i in ids))


def drawn_set(cache: str | Path | None = None) -> Path:
    """The folder of the built-in data set in VOC layout; drawn at first use, within seconds.

    Args:
        cache: folder that keeps the set; None for ``multibox`` in ``$XDG_CACHE_HOME`` or
            ``~/.cache``.

    Returns:
        The folder, whose name carries the version of the set.

    Raises:
        UserError: the cache folder cannot be written to.
    """
    caches = Path(os.environ.get('XDG_CACHE_HOME') or '~/.cache').expanduser()
    folder = Path(cache or caches / 'multibox') / f'drawn-{VERSION}'
    if folder.is_dir():
        return folder
    print(f'Drawing the built-in data set into {folder} (some seconds, once)', flush=True)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        # Draw into another folder and rename it, so that no interrupted run leaves half a set.
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix='drawing-') as temporary:
            draw_set(Path(temporary) / 'set')
            (Path(temporary) / 'set').rename(folder)
    except OSError as error:
        if not folder.is_dir():  # else another process was first
            raise UserError(f'{folder}: cannot draw the built-in data set into it ({error}); set '
                            'XDG_CACHE_HOME to a folder that can be written to') from error
    return folder
