"""The programs on images that crash a decoder, that vanish, and whose paths are no UTF-8."""
import json
import os
import pathlib
import shutil
import subprocess
import sys

from multibox.data.synthetic import draw_set
from multibox.networks import make_detector
from multibox.weights import save_model

import numpy as np
import pytest

ROOT = pathlib.Path(__file__).parents[2]
NAMES = ('boat', 'car', 'fish', 'flower', 'house', 'tree')


def run(program, *flags):
    """Run a program with a Pillow that dies on files that hold a marker."""
    path = os.pathsep.join(map(str, (ROOT / 'tests/support/dying', ROOT)))
    return subprocess.run([sys.executable, *program.split(), *map(str, flags)], text=True, cwd=ROOT,
                          capture_output=True, timeout=120, errors='surrogateescape',
                          env={**os.environ, 'PYTHONPATH': path})


@pytest.fixture(scope='module')
def model(tmp_path_factory):
    """An untrained network with few detections."""
    np.random.seed(0)
    model = make_detector('slim300', len(NAMES))
    for conv in model.multibox.conf:
        conv.W.array *= 0.1
        conv.b.array.reshape(-1, len(NAMES) + 1)[:, 0] = 6
    path = tmp_path_factory.mktemp('model') / 'model.npz'
    save_model(path, model, 'slim300', NAMES, None)
    return path


@pytest.fixture
def folder(tmp_path):
    """Drawn images, three to train and three to test; a decoder dies on the first test image."""
    folder = tmp_path / 'set'
    draw_set(folder, n_train=3, n_test=3)
    name = (folder / 'ImageSets/Main/test.txt').read_text().split()[0]
    with open(folder / f'JPEGImages/{name}.jpg', 'ab') as file:
        file.write(b'CRASHES HERE')
    return folder


@pytest.mark.slow
def test_detect_goes_on_after_a_crash(folder, model, tmp_path):
    result = run('detect.py', '--model', model, folder / 'JPEGImages', '--out', tmp_path / 'out')
    assert result.returncode == 1 and 'Traceback' not in result.stderr
    assert '(the decoder crashed on it, SIGSEGV); left out' in result.stderr
    found = json.loads((tmp_path / 'out/detections.json').read_text())
    assert len(found['images']) == 5 and len(found['unreadable']) == 1
    assert len(list((tmp_path / 'out').glob('*.png'))) == 5


@pytest.mark.slow
@pytest.mark.parametrize('program', ['-m multibox.data check', 'evaluate.py'])
def test_the_image_of_a_crash_is_listed_and_the_rest_used(folder, model, tmp_path, program):
    flags = [folder] if 'check' in program else ['--model', model, '--data', folder, '--out',
                                                 tmp_path / 'out']
    result = run(program, *flags)
    assert result.returncode == 0 and 'Traceback' not in result.stderr
    assert ('the decoder crashed on it, SIGSEGV' in result.stdout) == ('check' in program)
    assert ('2 to evaluate' in result.stdout) or ('2 images; 1 problems' in result.stdout)


@pytest.mark.slow
def test_paths_that_are_no_utf8_pass_through_all_programs(tmp_path):
    folder = tmp_path / os.fsdecode(b'caf\xe9')
    try:
        folder.mkdir()
    except OSError:
        pytest.skip('this file system takes UTF-8 only')
    draw_set(folder / 'set', n_train=3, n_test=2)
    out = folder / 'run'
    name = (folder / 'set/ImageSets/Main/test.txt').read_text().split()[0]
    photo = folder / os.fsdecode(b'x\xe9.jpg')
    photo.write_bytes((folder / f'set/JPEGImages/{name}.jpg').read_bytes())
    for program, *flags in (
            ('-m multibox.data check', folder / 'set', '--pictures', folder / 'look'),
            ('train.py', '--data', folder / 'set', '--model', 'slim300', '--iteration', 1,
             '--batchsize', 2, '--out', out, '--loader-processes', 1),
            ('evaluate.py', '--model', out / 'model.npz'),
            ('detect.py', '--model', out / 'model.npz', photo, '--out', folder / 'found'),
            ('-m multibox.report compare', out, folder / 'copy', '--out', folder / 'compared')):
        if 'compare' in program:
            shutil.copytree(out, folder / 'copy')
        result = run(program, *flags)
        assert result.returncode == 0 and 'Traceback' not in result.stderr, result.stderr
    assert (out / 'report.html').exists() and len(list((folder / 'found').glob('*.png'))) == 1
