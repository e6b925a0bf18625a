"""Image files: decoding, orientation, and the cache of the check."""
from multibox.data import VOCDataset
from multibox.data.annotations import Example
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
