"""Readers of image files."""
import functools
import io

from multibox.data.pictures import Unreadable, inspect, read_upright
from tests.fuzz.targets.target import Target, put

import numpy as np
from PIL import Image

SIZE = 24, 20


def _picture(mode='RGB'):
    pixels = np.random.default_rng(0).integers(0, 256, (*SIZE[::-1], 3), np.uint8)
    return Image.fromarray(pixels).convert(mode)


def _seeds(kind, *variants):
    """The same picture in one format with different settings of the writer."""
    made = []
    for variant in variants or ({},):
        mode, options = variant.get('mode', 'RGB'), {**variant}
        options.pop('mode', None)
        exif = Image.Exif()
        exif[0x0112] = 6
        file = io.BytesIO()
        _picture(mode).save(file, kind, **({} if kind in ('BMP', 'GIF') else {'exif': exif}),
                            **options)
        made.append(file.getvalue())
    return made


def _animated(kind):
    file, pictures = io.BytesIO(), [_picture(), _picture('L').convert('RGB')]
    pictures[0].save(file, kind, save_all=True, append_images=pictures[1:], duration=50)
    return [file.getvalue()]


def _read(folder, content, suffix):
    path = put(folder / f'photo{suffix}', content)
    try:
        picture = inspect(path)
    except Unreadable as refusal:
        reason = refusal
    else:
        assert picture.width > 0 < picture.height and picture.orientation in range(1, 9), picture
        reason = None
    try:
        img = read_upright(path, np.uint8)
    except Unreadable:
        assert reason is not None, 'inspect accepts it, but read_upright refuses it'
        raise
    assert img.dtype == np.uint8 and img.ndim == 3 and img.shape[0] == 3, img.shape
    assert reason is not None or img.shape[1:] == picture.upright[::-1], (img.shape, picture)
    return img


def _target(kind, seeds, suffix=None):
    return Target(seeds, functools.partial(_read, suffix=suffix or f'.{kind.lower()}'),
                  (Unreadable,))


VARIANTS = {
    'JPEG': ({}, {'progressive': True}, {'mode': 'L'}, {'mode': 'CMYK'}),
    'PNG': ({}, {'mode': 'P'}, {'mode': 'RGBA'}, {'mode': 'I;16'}, {'mode': '1'}),
    'BMP': ({}, {'mode': 'P'}, {'mode': 'L'}),
    'WEBP': ({}, {'lossless': True}, {'mode': 'RGBA'}),
    'TIFF': ({}, {'compression': 'tiff_lzw'}, {'compression': 'jpeg'}, {'mode': 'F'},
             {'compression': 'tiff_adobe_deflate'}),
    'GIF': ({},),
}
TARGETS = {
    **{kind.lower(): _target(kind, functools.partial(_seeds, kind, *variants))
       for kind, variants in VARIANTS.items()},
    'apng': _target('APNG', functools.partial(_animated, 'PNG'), '.png'),
    'animation': _target('GIF', lambda: _animated('GIF') + _animated('WEBP')),
}
