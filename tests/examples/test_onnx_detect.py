"""examples/onnx_detect.py prints the boxes of detect.py."""
import json
import pathlib
import subprocess
import sys

import detect
from multibox import save_model
from multibox.data.synthetic import draw_picture
from multibox.weights.export import export
from tests.support.networks import moderate_model

import numpy as np
import pytest
from PIL import Image

PROGRAM = pathlib.Path(__file__).parents[2] / 'examples/onnx_detect.py'
TURNED = 6  # EXIF's orientation of a photograph that has to be turned to the right


def test_it_prints_the_boxes_of_detect_py(tmp_path, monkeypatch):
    pytest.importorskip('onnx.mapping', exc_type=ImportError)
    pytest.importorskip('onnxruntime')
    monkeypatch.chdir(tmp_path)
    save_model('model.npz', moderate_model(2), 'slim300', ('cat', 'wild dog'), threshold=.8)
    export('model.npz', tmp_path / 'model.onnx', detections=True)
    exif = Image.Exif()
    exif[0x0112] = TURNED
    Image.fromarray(draw_picture(np.random.default_rng(0))[0]).save('photo.png', exif=exif)

    detect.main(['photo.png', '--model', 'model.npz', '--score', '.8'])
    expected, = json.loads((tmp_path / 'detections/detections.json').read_text())['images']
    result = subprocess.run([sys.executable, PROGRAM, 'model.onnx', 'photo.png'],
                            capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    lines = [line.split(maxsplit=5) for line in result.stdout.splitlines()]
    assert [line[5] for line in lines] == expected['label'] and len({*expected['label']}) == 2
    numbers = np.array([line[:5] for line in lines], float)
    np.testing.assert_allclose(numbers[:, 0], expected['score'], atol=1.01e-4)
    np.testing.assert_allclose(numbers[:, 1:], expected['bbox'], atol=1.01e-2)


def test_it_imports_nothing_else():
    lines = PROGRAM.read_text(encoding='utf-8').splitlines()
    assert len(lines) <= 40
    assert [line.split()[1] for line in lines if line.startswith(('import', 'from'))] == [
        'json', 'sys', 'numpy', 'onnxruntime', 'PIL']
