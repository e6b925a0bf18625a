"""Cut-outs of images with a true box and a detected one drawn over them."""
import io

from multibox.report.markup import fill, image, join

import numpy as np
from PIL import Image

SIDE = 280  # pixels of a cut-out in the page
CONTEXT = 2.0  # sides of a cut-out, in those of what it shows


def figure(img, match, label_names, name):
    """One mistake: cut-out, boxes, and what is wrong in words.

    Args:
        img: (3, H, W) float32 array; see README "Data conventions".
        match: :class:`multibox.report.mistakes.Match`.
        label_names: the foreground classes, in the order of their numbers.
        name: file name of the image.

    Returns:
        Markup.
    """
    what = describe(match, label_names)
    boxes = {kind: each[0] for kind, each in (('true', match.object), ('found', match.detection))
             if each is not None}
    y, x, height, width = window(np.array(list(boxes.values())), img.shape[1:])
    scale = SIDE / max(height, width)
    size = round(width * scale), round(height * scale)
    tile = Image.fromarray(img[:, y:y + height, x:x + width].transpose(1, 2, 0)
                           .clip(0, 255).astype(np.uint8))
    data = io.BytesIO()
    tile.resize(size, Image.Resampling.BICUBIC).save(data, 'JPEG', quality=80)
    lines = join(fill(
        '<rect class="halo" {at}/><rect class="{kind}" {at}/>', kind=kind,
        at=fill('x="{x}" y="{y}" width="{w}" height="{h}"', **_rectangle((bbox - (y, x, y, x))
                                                                         * scale)))
        for kind, bbox in boxes.items())
    return fill(
        '<figure><div class="cut">{image}<svg viewBox="0 0 {width} {height}" aria-hidden="true">'
        '{lines}</svg></div><figcaption>{what}<br><small>{name}</small></figcaption></figure>',
        image=image(data.getvalue(), 'jpeg', f'{name}: {what}'), width=size[0], height=size[1],
        lines=lines, what=what, name=name)


def describe(match, label_names):
    """What is wrong, in a few words."""
    true, found = (each and label_names[each[1]] for each in (match.object, match.detection))
    scored = found and f'{found} {match.detection[2]:.2f}'
    overlap = f'IoU {match.iou:.2f}'
    if match.kind == 'missed':
        return f'{true}, ' + (f'nearest: {scored}, {overlap}' if found else 'nothing near')
    return scored + {
        'background': ', nothing there', 'class': f' over {true}, {overlap}',
        'again': f', a second time, {overlap}', 'misplaced': f', {overlap}'}[match.kind]


def window(bbox, limit):
    """A square around boxes with some of what surrounds them, as far as the image reaches.

    Args:
        bbox: (N, 4) float array, N >= 1.
        limit: (H, W) of the image.

    Returns:
        y, x, height and width, ints.
    """
    low, high = bbox[:, :2].min(axis=0), bbox[:, 2:].max(axis=0)
    extent = (high - low).max()
    side = max(min(max(CONTEXT * extent, 48), *limit), extent)  # smaller ones would be a blur
    size = np.minimum(np.ceil(side), limit).astype(int)
    corner = np.clip(np.round((low + high - size) / 2), 0, np.subtract(limit, size)).astype(int)
    return *map(int, corner), *map(int, size)


def _rectangle(bbox):
    y_min, x_min, y_max, x_max = (round(float(value), 1) for value in bbox)
    return {'x': x_min, 'y': y_min, 'w': round(x_max - x_min, 1), 'h': round(y_max - y_min, 1)}
