"""Image files: decoding, orientation, and the cache of the check."""
import json
import os
import struct
import zlib

from multibox.data import VOCDataset, inspection
from multibox.data.annotations import Example
from multibox.data.cache import cache_folder
from multibox.data.inspection import inspect_all
from multibox.data.pictures import Picture, Unreadable, inspect, read_upright
from multibox.errors import UserError

import cv2
import numpy as np
import pytest
from PIL import Image


def dataset_of(path):
    return VOCDataset([Example(path, np.zeros((0, 4), np.float32), np.zeros(0, np.int32),
                               np.zeros(0, bool), (30, 40))])


@pytest.mark.parametrize('mode, colour, rgb', [
    ('RGB', (250, 120, 10), (250, 120, 10)), ('L', 77, (77, 77, 77)),
    ('CMYK', (0, 255, 255, 0), (255, 0, 0)),
])
def test_a_jpeg_decodes_to_float32_rgb(tmp_path, mode, colour, rgb):
    Image.new(mode, (40, 30), colour).save(tmp_path / 'a.jpg')
    img = dataset_of(tmp_path / 'a.jpg')[0][0]
    assert (img.shape, img.dtype) == ((3, 30, 40), np.float32)
    np.testing.assert_allclose(img.mean(axis=(1, 2)), rgb, atol=4)


@pytest.mark.parametrize('mode', ['RGB', 'RGBA', 'P', 'L', '1'])
def test_a_png_of_any_mode_decodes_to_three_channels(tmp_path, mode):
    Image.new('RGB', (40, 30), (255, 255, 255)).convert(mode).save(tmp_path / 'a.png')
    img = dataset_of(tmp_path / 'a.png')[0][0]
    np.testing.assert_array_equal(img, np.full((3, 30, 40), 255, np.float32))


def test_the_orientation_in_exif_is_obeyed(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees
    Image.new('RGB', (40, 30)).save(tmp_path / 'a.jpg', exif=exif)
    assert cv2.imread(str(tmp_path / 'a.jpg')).shape == (40, 30, 3)
    assert dataset_of(tmp_path / 'a.jpg')[0][0].shape == (3, 40, 30)


def test_images_are_read_as_uint8_on_request(tmp_path):
    Image.effect_noise((40, 30), 80).save(tmp_path / 'a.png')
    dataset = dataset_of(tmp_path / 'a.png')
    img = VOCDataset(dataset.examples, np.uint8)[0][0]
    assert img.dtype == np.uint8
    np.testing.assert_array_equal(img, dataset[0][0])


@pytest.mark.parametrize('content, reason', [
    (b'', 'image cannot be read'), (b'not an image', 'image cannot be read'),
    (None, 'image file is missing')], ids=['empty', 'text', 'missing'])
def test_an_image_that_cannot_be_decoded_is_named(tmp_path, content, reason):
    if content is not None:
        (tmp_path / 'a.jpg').write_bytes(content)
    with pytest.raises(UserError, match=rf'a\.jpg: {reason}'):
        dataset_of(tmp_path / 'a.jpg')[0]


# kinds of pixels

@pytest.mark.parametrize('high', [255, 4095, 65535])
def test_grey_of_16_bits_is_scaled_by_the_range_that_occurs(tmp_path, high):
    grey = np.linspace(0, high, 40 * 30).reshape(30, 40).astype(np.uint16)
    Image.fromarray(grey).save(tmp_path / 'a.png')
    img = read_upright(tmp_path / 'a.png')
    assert (img.min(), img.max()) == (0, 255)
    np.testing.assert_allclose(img, np.broadcast_to(grey / high * 255, (3, 30, 40)), atol=1)


@pytest.mark.parametrize('values', [np.full((4, 5), 700, np.uint16), np.zeros((4, 5), np.float32),
                                    np.full((4, 5), np.nan, np.float32),
                                    np.full((4, 5), -5, np.int32)], ids=str)
def test_grey_of_one_value_is_read(tmp_path, values):
    Image.fromarray(values).save(tmp_path / 'a.tif')
    img = read_upright(tmp_path / 'a.tif')
    assert img.shape == (3, 4, 5) and np.isfinite(img).all()


@pytest.mark.parametrize('mode', ['1', 'L', 'LA', 'P', 'RGB', 'RGBA', 'CMYK', 'I;16', 'I', 'F',
                                  'LAB'])
def test_every_mode_of_a_tiff_is_read(tmp_path, mode):
    Image.new(mode, (5, 4)).save(tmp_path / 'a.tif')
    assert read_upright(tmp_path / 'a.tif').shape == (3, 4, 5)


def test_a_palette_with_transparency_keeps_its_colours(tmp_path):
    image = Image.new('RGB', (5, 4), (200, 30, 40)).convert('P')
    image.save(tmp_path / 'a.png', transparency=0)
    img = read_upright(tmp_path / 'a.png')
    np.testing.assert_allclose(img[:, 0, 0], [200, 30, 40], atol=30)


def test_a_colour_picture_is_read_as_rgb(tmp_path):
    Image.new('RGB', (5, 4), (10, 20, 30)).save(tmp_path / 'x.png')
    img = read_upright(tmp_path / 'x.png')
    assert img.shape == (3, 4, 5) and img.dtype == np.float32
    assert img[:, 0, 0].tolist() == [10, 20, 30]
    with pytest.raises(Unreadable, match='missing'):
        read_upright(tmp_path / 'no.png')


def test_the_first_image_of_several_counts(tmp_path):
    frames = [Image.new('RGB', (5, 4), (40 * n, 0, 0)) for n in range(1, 4)]
    for name in ('a.tif', 'a.png', 'a.webp'):
        frames[0].save(tmp_path / name, save_all=True, append_images=frames[1:], lossless=True)
        assert read_upright(tmp_path / name)[0, 0, 0] == 40


# damage

@pytest.mark.parametrize('suffix', ['.jpg', '.png', '.bmp', '.webp', '.tif'])
@pytest.mark.parametrize('share', [0, 0.1, 0.5, 0.9, 0.99])
def test_a_truncated_file_is_unreadable(tmp_path, suffix, share):
    path = tmp_path / f'a{suffix}'
    Image.effect_noise((160, 120), 80).convert('RGB').save(path)
    content = path.read_bytes()
    path.write_bytes(content[:int(share * len(content))])
    with pytest.raises(Unreadable):
        inspect(path)


@pytest.mark.parametrize('suffix', ['.jpg', '.png', '.webp', '.tif', '.bmp'])
@pytest.mark.filterwarnings('ignore::UserWarning:PIL')
def test_damage_is_found_or_harmless(tmp_path, suffix):
    path, rng = tmp_path / f'a{suffix}', np.random.default_rng(0)
    frames = [Image.effect_noise((24, 20), 80).convert('RGB') for _ in range(2)]
    frames[0].save(path, **({'save_all': True, 'append_images': frames[1:]}
                            if suffix in ('.png', '.webp') else {}))
    content = np.frombuffer(path.read_bytes(), np.uint8)
    for _ in range(150):
        damaged = content.copy()
        damaged[rng.integers(len(content) if rng.random() < 0.5 else 120)] = rng.integers(256)
        path.write_bytes(damaged.tobytes())
        try:
            picture = inspect(path)
            assert read_upright(path).shape == (3, *picture.upright[::-1])
        except Unreadable as error:
            assert len(str(error).splitlines()) == 1


def test_a_png_that_promises_more_pixels_than_fit_is_refused(tmp_path):
    def chunk(kind, content):
        return (struct.pack('>I', len(content)) + kind + content
                + struct.pack('>I', zlib.crc32(kind + content)))

    for side in (15000, 50000, 2 ** 31 - 1):
        (tmp_path / 'a.png').write_bytes(
            b'\x89PNG\r\n\x1a\n' + chunk(b'IHDR', struct.pack('>2I5B', side, side, 1, 0, 0, 0, 0))
            + chunk(b'IDAT', zlib.compress(b'')) + chunk(b'IEND', b''))
        with pytest.raises(Unreadable, match='too large'):
            inspect(tmp_path / 'a.png')


# the check of all files, and its cache

@pytest.fixture
def paths(tmp_path):
    paths = [tmp_path / f'{i}.png' for i in range(3)]
    for path in paths:
        Image.new('RGB', (40, 30)).save(path)
    paths[2].write_bytes(b'no image')
    return paths


@pytest.fixture
def inspected(monkeypatch):
    """The files that were decoded."""
    seen, map_files = [], inspection.map_files

    def remember(function, items, *limits):
        items = list(items)
        seen.extend(path.name for path, in items)
        return map_files(function, items, *limits)

    monkeypatch.setattr(inspection, 'map_files', remember)
    return seen


def test_all_files_are_inspected_once(paths, inspected):
    found = inspect_all([*paths, *paths], 'a')
    assert sorted(inspected) == ['0.png', '1.png', '2.png']
    assert [found[path] for path in paths[:2]] == [Picture(40, 30, 1)] * 2
    assert 'cannot be read' in found[paths[2]]


def test_a_second_check_decodes_nothing(paths, inspected):
    first = inspect_all(paths, str(paths))
    inspected.clear()
    assert inspect_all(paths, str(paths)) == first and inspected == []


def test_a_changed_file_is_decoded_again(paths, inspected):
    inspect_all(paths, str(paths))
    inspected.clear()
    Image.new('RGB', (50, 30)).save(paths[2])
    os.utime(paths[0], ns=(1, 1))
    found = inspect_all(paths, str(paths))
    assert sorted(inspected) == ['0.png', '2.png'] and found[paths[2]] == Picture(50, 30, 1)


def test_a_file_that_is_gone_is_no_longer_known(paths):
    inspect_all(paths, str(paths))
    paths[0].unlink()
    assert inspect_all(paths, str(paths))[paths[0]] == 'image file is missing'


def cache_of(paths):
    return next(path for path in cache_folder().glob('images-*') if str(paths[0]) in path.read_text(
        errors='replace'))


@pytest.mark.parametrize('content', [b'', b'garbage', b'[]', b'3', b'{"x": 1}', b'\xff\xfe',
                                     b'null'])
def test_a_cache_that_is_garbage_changes_nothing(paths, content):
    first = inspect_all(paths, str(paths))
    path = cache_of(paths)
    path.write_bytes(content)
    assert inspect_all(paths, str(paths)) == first


@pytest.mark.parametrize('entry', [3, [], [1], {}, None, [0, 0, 0], 'x'])
def test_an_entry_that_is_garbage_changes_nothing(paths, entry):
    first = inspect_all(paths, str(paths))
    path = cache_of(paths)
    facts = json.loads(path.read_text())
    path.write_text(json.dumps({**facts, str(paths[0]): entry}))
    assert inspect_all(paths, str(paths)) == first


def test_a_cache_that_cannot_be_written_changes_nothing(paths, tmp_path, monkeypatch):
    (tmp_path / 'file').touch()
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'file'))
    assert inspect_all(paths, 'a') == inspect_all(paths, 'a')


def test_names_that_are_no_utf8_are_cached(tmp_path, inspected):
    path = tmp_path / os.fsdecode(b'sch\xf6n.png')
    try:
        Image.new('RGB', (4, 4)).save(path)
    except OSError:
        pytest.skip('this file system takes UTF-8 only')
    inspect_all([path], str(path))
    inspect_all([path], str(path))
    assert len(inspected) == 1
