"""detect.py on folders with readable and broken photographs."""
import json
import os
import signal
import struct

import detect
from multibox.data.pictures import Unreadable
from multibox.errors import UserError
from multibox.locks import Lock
from tests.support.detecting import run

import cv2
import numpy as np
import pytest
from PIL import Image


def test_images_of_folders_and_named_ones_are_searched(detector, photos, tmp_path, capsys):
    out = tmp_path / 'out'
    run(photos, photos / 'more' / 'b.jpg', '--out', out, '--score', '.3', '--batchsize', '2')
    result = json.loads((out / 'detections.json').read_text())
    assert [image['image'] for image in result['images']] == [
        str(photos / name) for name in ('a.PNG', 'b.jpg', 'more/b.jpg')]
    first = result['images'][0]
    assert first['size'] == [160, 200] and first['label'] == ['dog', 'cat']
    assert first['score'] == [.9, .4] and first['bbox'] == [[0, 0, 80, 100], [80, 0, 160, 100]]
    assert f'{photos / "a.PNG"}: dog 0.90, cat 0.40' in capsys.readouterr().out


def test_pictures_have_the_images_size_and_names_of_their_own(detector, photos, tmp_path):
    run(photos, photos / 'more', '--out', tmp_path / 'out')
    sizes = {path.name: Image.open(path).size for path in (tmp_path / 'out').glob('*.png')}
    assert sizes == {'a.png': (200, 160), 'b.png': (60, 40), 'b-2.png': (30, 30)}
    picture = np.array(Image.open(tmp_path / 'out' / 'a.png'))
    assert (picture[:, 150] == 128).all() and not (picture[:80, :100] == 128).all()


def test_a_class_has_one_colour_whatever_else_is_found(detector, photos, tmp_path):
    colors = []
    for score in '.3', '.5':
        run(photos / 'a.PNG', '--out', tmp_path / score, '--score', score)
        colors.append(np.array(Image.open(tmp_path / score / 'a.png'))[40, 99])  # the dog's edge
    np.testing.assert_array_equal(*colors)
    assert (colors[0] != 128).any()


def test_the_thresholds_are_the_users(detector, photos, tmp_path):
    run(photos / 'b.jpg', '--out', tmp_path / 'out', '--score', '.5', '--nms', '.3')
    result = json.loads((tmp_path / 'out' / 'detections.json').read_text())
    assert result['images'][0]['label'] == ['dog']
    assert (detector.score_thresh, detector.nms_thresh) == (.5, .3)


@pytest.mark.parametrize('stored, found', [(.3, ['dog', 'cat']), (.5, ['dog']), (None, ['dog'])])
def test_the_threshold_of_the_weights_counts_without_a_flag(
        detector, photos, tmp_path, stored, found):
    detector.threshold = stored
    run(photos / 'b.jpg', '--out', tmp_path / 'out')
    result = json.loads((tmp_path / 'out' / 'detections.json').read_text())
    assert result['images'][0]['label'] == found and result['score'] == (stored or .5)


def test_a_flag_comes_before_the_threshold_of_the_weights(detector, photos, tmp_path):
    detector.threshold = .5
    run(photos / 'b.jpg', '--out', tmp_path / 'out', '--score', '.3')
    result = json.loads((tmp_path / 'out' / 'detections.json').read_text())
    assert result['images'][0]['label'] == ['dog', 'cat'] and result['score'] == .3


# a BMP that claims to be 100,000 pixels wide and high
HUGE = b'BM' + struct.pack('<3I', 54, 0, 54) + struct.pack(
    '<3I2H6I', 40, 100000, 100000, 1, 24, 0, 0, 0, 0, 0, 0)


@pytest.mark.parametrize('content, reason', [
    (b'', 'image cannot be read'), (b'no image', 'image cannot be read'),
    (HUGE, 'image is too large'),
], ids=['empty', 'text', 'too many pixels'])
def test_a_broken_image_is_named_and_the_rest_goes_on(
        detector, photos, tmp_path, capsys, content, reason):
    (photos / 'a2.jpg').write_bytes(content)
    with pytest.raises(SystemExit) as end:
        run(photos, '--out', tmp_path / 'out')
    assert end.value.code == 1
    assert f'{photos / "a2.jpg"}: {reason}' in capsys.readouterr().err
    result = json.loads((tmp_path / 'out' / 'detections.json').read_text())
    assert len(result['images']) == 2 and result['unreadable'] == [str(photos / 'a2.jpg')]


def test_detections_before_an_interrupt_are_kept(detector, photos, tmp_path, monkeypatch):
    predict = detector.predict

    def interrupt(imgs):
        if imgs[0].shape == (3, 40, 60):
            raise KeyboardInterrupt
        return predict(imgs)

    monkeypatch.setattr(detector, 'predict', interrupt)
    with pytest.raises(KeyboardInterrupt):
        run(photos, '--out', tmp_path / 'out', '--batchsize', '1')
    result = json.loads((tmp_path / 'out' / 'detections.json').read_text())
    assert [image['image'] for image in result['images']] == [str(photos / 'a.PNG')]


def test_a_photograph_in_the_folder_of_the_pictures_is_not_overwritten(detector, photos):
    before = (photos / 'a.PNG').read_bytes()
    run(photos, '--out', photos)
    assert (photos / 'a.PNG').read_bytes() == before
    assert {path.name for path in photos.glob('*.png')} == {'a-2.png', 'b.png'}


@pytest.mark.parametrize('name', ['b.png', 'B.PNG'])
def test_a_file_that_detect_did_not_write_is_not_overwritten(detector, photos, tmp_path, name):
    (tmp_path / 'out').mkdir()
    (tmp_path / 'out' / name).write_text('precious')
    run(photos / 'b.jpg', '--out', tmp_path / 'out')
    assert (tmp_path / 'out' / name).read_text() == 'precious'
    result = json.loads((tmp_path / 'out' / 'detections.json').read_text())
    assert result['images'][0]['picture'] == 'b-2.png'


def test_a_photograph_that_is_a_link_into_the_folder_is_not_overwritten(
        detector, photos, tmp_path):
    out = tmp_path / 'out'
    run(photos / 'b.jpg', '--out', out)  # so that out/b.png is a picture of detect.py
    before = (out / 'b.png').read_bytes()
    (photos / 'b.png').symlink_to(out / 'b.png')
    run(photos / 'b.png', '--out', out)
    assert (out / 'b.png').read_bytes() == before and (out / 'b-2.png').exists()


def test_earlier_pictures_are_replaced_or_removed_and_no_other_file_is(
        detector, photos, tmp_path, capsys):
    out = tmp_path / 'out'
    run(photos, '--out', out)
    (out / 'mine.png').write_text('precious')
    listed = json.loads((out / 'detections.json').read_text())
    listed['images'] += [{'picture': name} for name in ('../photos/b.jpg', '../x.png', None, 3)]
    (tmp_path / 'x.png').write_text('precious')
    (out / 'detections.json').write_text(json.dumps(listed))
    (out / 'b.png').write_bytes((out / 'a.png').read_bytes())  # of the earlier run, too
    run(photos / 'b.jpg', '--out', out)
    assert {path.name for path in out.iterdir()} == {'b.png', 'mine.png', 'detections.json'}
    assert Image.open(out / 'b.png').size == (60, 40)
    assert (photos / 'b.jpg').exists() and (tmp_path / 'x.png').exists()
    assert f'1 pictures of an earlier detect.py removed from {out}' in capsys.readouterr().out


def test_a_listed_picture_that_detect_did_not_draw_is_the_users(detector, photos, tmp_path):
    out = tmp_path / 'out'
    run(photos, '--out', out)
    for name in 'a.png', 'b.png':
        Image.new('RGB', (5, 5)).save(out / name)
    run(photos / 'b.jpg', '--out', out)
    assert Image.open(out / 'a.png').size == Image.open(out / 'b.png').size == (5, 5)
    assert (out / 'b-2.png').exists()


def test_an_interrupt_keeps_the_earlier_pictures_until_the_next_run(
        detector, photos, tmp_path, monkeypatch):
    out = tmp_path / 'out'
    run(photos, '--out', out)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(detector, 'predict', lambda imgs: signal.raise_signal(signal.SIGINT))
        run(photos / 'a.PNG', '--out', out)
    assert {path.name for path in out.iterdir()} == {'a.png', 'b.png', 'detections.json'}
    run(photos / 'a.PNG', '--out', out)
    assert {path.name for path in out.iterdir()} == {'a.png', 'detections.json'}


@pytest.mark.parametrize('content', ['precious', '[]', '{"images": []}'])
def test_detections_of_another_program_end_the_run_before_any_work(
        detector, photos, monkeypatch, content):
    (photos / 'detections.json').write_text(content)
    before = sorted(photos.rglob('*'))
    monkeypatch.setattr(detect, 'load_model', None)
    with pytest.raises(UserError, match=rf'--out {photos}: holds detections\.json, which would'):
        run(photos, '--out', photos)
    assert (photos / 'detections.json').read_text() == content
    assert sorted(photos.rglob('*')) == before


def test_two_at_once_in_one_folder_are_refused(detector, photos, tmp_path):
    with Lock(tmp_path / 'out'), pytest.raises(UserError, match='is writing into this folder'):
        run(photos, '--out', tmp_path / 'out')


def test_pictures_differ_in_more_than_case(detector, photos, tmp_path):
    cv2.imwrite(str(photos / 'more/B.png'), np.zeros((9, 9, 3), np.uint8))
    run(photos / 'b.jpg', photos / 'more/B.png', '--out', tmp_path / 'out')
    assert {path.name for path in (tmp_path / 'out').glob('*.png')} == {'b.png', 'B-2.png'}


def test_a_name_that_is_no_utf8_is_listed(detector, photos, tmp_path):
    name = os.fsdecode(b'sch\xf6n.jpg')
    try:
        (photos / 'b.jpg').rename(photos / name)
    except OSError:
        pytest.skip('this file system takes UTF-8 only')
    run(photos / name, '--out', tmp_path / 'out')
    result = json.loads((tmp_path / 'out' / 'detections.json').read_text(encoding='utf-8'))
    assert result['images'][0]['image'] == str(photos / name)


def test_all_detections_are_listed_and_the_best_drawn(detector, photos, tmp_path, monkeypatch):
    monkeypatch.setattr(detect, 'MAX_BOXES', 1)
    run(photos / 'a.PNG', '--out', tmp_path / 'out', '--score', '.3')
    result = json.loads((tmp_path / 'out' / 'detections.json').read_text())
    assert result['images'][0]['label'] == ['dog', 'cat']
    picture = np.array(Image.open(tmp_path / 'out' / 'a.png'))
    assert (picture[100:] == 128).all() and not (picture[:80] == 128).all()


@pytest.mark.parametrize('batchsize', [1, 8])
def test_broken_images_alone_do_not_end_the_run(detector, photos, tmp_path, capsys, batchsize):
    (photos / 'more' / 'a.jpg').write_text('no image')
    (photos / 'more' / 'sub.jpg').mkdir()
    (photos / 'more' / 'b.jpg').unlink()
    with pytest.raises(SystemExit):
        run(photos / 'more', '--out', tmp_path / 'out', '--batchsize', batchsize)
    assert 'a.jpg: image cannot be read' in capsys.readouterr().err
    result = json.loads((tmp_path / 'out' / 'detections.json').read_text())
    assert result['images'] == [] and len(result['unreadable']) == 1


def test_an_image_in_which_nothing_is_found_is_listed(detector, photos, tmp_path, capsys):
    run(photos / 'b.jpg', '--out', tmp_path / 'out', '--score', '1')
    assert 'b.jpg: nothing' in capsys.readouterr().out
    result = json.loads((tmp_path / 'out' / 'detections.json').read_text())
    assert result['images'][0]['bbox'] == []


@pytest.mark.parametrize('flags, match', [
    (['nowhere.jpg'], r'nowhere\.jpg: no such file'),
    (['.', '--score', '2'], '--score must be a number from 0 to 1, got 2'),
    (['.', '--nms', 'nan'], '--nms must be a number from 0 to 1, got nan'),
    (['.', '--batchsize', '0'], '--batchsize must be a number from 1'),
    (['.'], r'no image with a suffix of \.jpg'),
], ids=['path', 'score', 'nms', 'batchsize', 'folder'])
def test_a_mistake_is_named(detector, tmp_path, monkeypatch, flags, match):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=match):
        run(*flags)


def test_a_name_of_255_bytes_is_shortened(detector, photos, tmp_path):
    long = 'é' * 125 + 'a.jpg'  # 255 bytes
    (photos / 'b.jpg').rename(photos / long)
    run(photos / long, '--out', tmp_path / 'out')
    picture, = (tmp_path / 'out').glob('*.png')
    assert picture.stem == 'é' * 120


def test_a_photograph_above_the_limit_is_named(detector, photos, tmp_path, capsys):
    with pytest.raises(SystemExit):
        run(photos, '--out', tmp_path / 'out', '--max-pixels', 2400)
    assert ('a.PNG: image is too large: 200 x 160 pixels, more than 2,400; --max-pixels sets'
            in capsys.readouterr().err)
    result = json.loads((tmp_path / 'out' / 'detections.json').read_text())
    assert len(result['images']) == 1


def test_a_picture_that_cannot_be_drawn_keeps_its_detections(
        detector, photos, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(detect, 'map_files', lambda function, items, *_: (
        Unreadable('is gone') for _ in items))
    with pytest.raises(SystemExit):
        run(photos / 'b.jpg', '--out', tmp_path / 'out')
    assert 'b.jpg: is gone' in capsys.readouterr().err
    entry, = json.loads((tmp_path / 'out' / 'detections.json').read_text())['images']
    assert entry['picture'] is None and entry['label'] == ['dog']
